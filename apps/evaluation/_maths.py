"""The maths tool: it calculates expressions, and has a model write one for a problem in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from plait.apps.evaluation._expression_source import FUNCTIONS, Number
from plait.apps.evaluation._expressions import Expression, read_expression
from plait.errors import ToolCallError
from plait.models import ChatModel, Grammar, Message
from plait.tools import Tool

_MAX_TOKENS = 128
_TIMEOUT_S = 300.0
_UNKNOWN = "unknown"

_INSTRUCTIONS = """\
You write the one arithmetic expression that answers a question. The numbers come from the question and the context.
- Write digits without commas, and no units, names or words. Write shares as factors: 20% more is * 1.2, 20% less is * 0.8.
- Take the number in the unit that the question asks for; where the context has it in another unit only, convert it.
- For a number in millions leave out the millions: 83.5 million is 83.5.
- A difference is positive: abs(a - b).
- If the context lacks a number that is needed, write unknown.

Context: The Orvel is a river of the Kesh highlands. It is 1,240 km (770 mi) long and has nine bridges.
Question: length of the Orvel in km if it were 15% shorter
Expression: 1240 * 0.85

Context 1: Mount Ansa stands 3,105 m (10,187 ft) above the sea.
Context 2: Tirrel Peak (2,870 metres) was first climbed in 1921.
Question: difference in height between Mount Ansa and Tirrel Peak in metres
Expression: abs(3105 - 2870)"""  # noqa: E501  (a line of a prompt is a line)

_CALLED = " | ".join(f'"{name}"' for name in FUNCTIONS)
_GRAMMAR = Grammar(
    lark="%llguidance {}\n"
    f'start: sum | "{_UNKNOWN}"\n'
    "sum: part (SIGN part)*\n"
    'part: "-"? atom\n'
    'atom: NUMBER | function "(" sum (", " sum)* ")" | "(" sum ")"\n'
    f"function: {_CALLED}\n"
    'SIGN: " + " | " - " | " * " | " / " | " ** "\n'
    "NUMBER: /[0-9]{1,15}(\\.[0-9]{1,10})?/\n",
    gbnf=f'root ::= sum | "{_UNKNOWN}"\n'
    "sum ::= part (sign part)*\n"
    'part ::= "-"? atom\n'
    'atom ::= number | function "(" sum (", " sum)* ")" | "(" sum ")"\n'
    f"function ::= {_CALLED}\n"
    'sign ::= " + " | " - " | " * " | " / " | " ** "\n'
    'number ::= [0-9]{1,15} ("." [0-9]{1,10})?\n',
)

_BY_EXPRESSION = (
    "Calculates one expression such as 3 * (4 + 5) or max(1.5, 2, 8). "
    "It understands numbers and operators only, no words."
)
_BY_WORDS = (
    "Solves one maths problem: an expression such as max($2, $4), or a question in words about texts, "
    "which go into context. Name the unit that is wanted. Search results are context, never part of problem."
)


class Maths:
    """Arithmetic for plans.

    LLMCompiler's ``math`` tool in the same shape: the problem is an expression or a question in words, the
    context holds the texts that the question is about. An expression is calculated at once. For words the
    model is asked for one expression, under a grammar where it enforces one, which is then calculated;
    no number is ever the model's own.

    Args:
        model: turns words into expressions; without one, only expressions are accepted.
    """

    def __init__(self, model: ChatModel | None = None) -> None:
        self._model = model

    async def solve(self, problem: str, context: Sequence[str] = ()) -> Number | bool:
        """The value of ``problem``.

        Raises:
            ToolCallError: it is no expression and there is no model, the context does not say enough, or
                the expression has no value.
            ModelError: the model failed.
        """
        try:
            expression = read_expression(problem)
        except ToolCallError:
            if self._model is None:
                raise
            expression = await self._translated(self._model, problem, context)
        return expression.value()

    def tool(self) -> Tool:
        """The tool ``math(problem, context)``, or ``math(problem)`` where there is no model."""
        function = self._math_of_expressions if self._model is None else self._math_of_words
        return Tool.from_function(
            function,
            name="math",
            description=_BY_EXPRESSION if self._model is None else _BY_WORDS,
            read_only=True,
            idempotent=True,
            open_world=False,
            timeout_s=_TIMEOUT_S,
        )

    async def _math_of_words(
        self,
        problem: Annotated[str, Field(description="an expression, or a question with the unit it asks for")],
        context: Annotated[list[str], Field(description="texts that hold the numbers")] = [],  # noqa: B006
    ) -> float:
        return await self.solve(problem, context)

    async def _math_of_expressions(
        self, problem: Annotated[str, Field(description="an expression")]
    ) -> float:
        return await self.solve(problem)

    async def _translated(self, model: ChatModel, problem: str, context: Sequence[str]) -> Expression:
        enforced = model.grammar_kind in ("lark", "gbnf")
        generation = model.stream(
            [Message("system", _INSTRUCTIONS), Message("user", _question(problem, context))],
            grammar=_GRAMMAR if enforced else None,
            max_tokens=_MAX_TOKENS,
            stop=() if enforced else ("\n",),
        )
        written = (await generation.text()).strip().removeprefix("Expression:").strip()
        if generation.finish_reason == "length":
            raise ToolCallError(
                f"the model {model.name} found no end of an expression for {problem!r}; ask for less at once"
            )
        if written.rstrip(".").lower() == _UNKNOWN:
            raise ToolCallError(
                f"the context has no number that answers {problem!r}; pass the text that has it as context"
            )
        return read_expression(written)


def _question(problem: str, context: Sequence[str]) -> str:
    one = len(context) == 1
    lines = [f"Context{'' if one else f' {i}'}: {text}" for i, text in enumerate(context, 1)]
    return "\n".join([*lines, f"Question: {problem}", "Expression:"])
