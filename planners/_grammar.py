"""The grammar of the plans that one toolbox allows, for engines that enforce one while they decode.

It allows only the toolbox's tools, only their arguments with their types and enumerations, required
ones always there, in the order of the signature, and only references to earlier tasks. The language is
the one form of a dialect that :func:`~plait.planners.print_plan` prints.

Three forms of one language: llguidance's Lark, in which a rule carries the number of its task as a
parameter, so that the size does not grow with the number of tasks; GBNF, which has no parameters, so
that each rule is written once for each task; and JSON schema, for the JSON form of a plan.

Left to the validation of arguments are patterns, lengths of strings and most bounds of numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

from plait.errors import GrammarError
from plait.models import Grammar
from plait.planners._dialects import KEYWORD, DialectName, dialect_of
from plait.planners._forms import Source
from plait.planners._gbnf_grammar import GBNFWriter
from plait.planners._kind_grammar import KindLarkWriter
from plait.planners._lark_grammar import LarkWriter
from plait.planners._schema_grammar import SchemaWriter
from plait.planners._sorts import say_kinds
from plait.tools import Tool

MAX_TASKS = 24
"""Tasks that a grammar lets one plan have."""


def plan_grammar(
    tools: Iterable[Tool],
    *,
    first: int = 1,
    unavailable: Set[int] = frozenset(),
    max_tasks: int = MAX_TASKS,
    dialect: DialectName = "keyword",
) -> Grammar:
    """The grammar of plans over ``tools``, in all its forms.

    Args:
        tools: the tools that the prompt offers.
        first: number of the plan's first task; those below it are tasks of earlier plans.
        unavailable: numbers below ``first`` that may not be referred to, because those tasks failed.
        max_tasks: tasks that the plan may have at most.
        dialect: how the text is written; the JSON form has none.

    Raises:
        ConfigurationError: there is no such dialect.
        GrammarError: there is no tool or no room for a task, or a tool's name or types cannot be written.
    """
    written = dialect_of(dialect)
    offered = _offered(tools)
    if max_tasks < 1:
        raise GrammarError(f"a plan needs room for at least one task, not {max_tasks}")
    numbers = range(first, first + max_tasks)
    arranged = written.arrange(offered)
    return Grammar(
        lark=plan_lark(tools, first=first, unavailable=unavailable, max_tasks=max_tasks, dialect=dialect),
        gbnf=GBNFWriter(arranged, numbers, unavailable, written).write(),
        json_schema=SchemaWriter(offered, numbers, unavailable).write(),
    )


def plan_lark(
    tools: Iterable[Tool],
    *,
    first: int = 1,
    unavailable: Set[int] = frozenset(),
    max_tasks: int = MAX_TASKS,
    dialect: DialectName = "keyword",
    earlier: Mapping[int, Tool] | None = None,
    source: Source | None = None,
    copies: bool = False,
) -> str:
    """The Lark form of :func:`plan_grammar`, which heeds what tools say of kinds and of their results.

    Where they do (:class:`plait.tools.Kind`, ``Tool.result``), a plan may have about 10 to 20 tasks, since
    its grammar has to know of which sort each of their results is.

    Args:
        tools: the tools that may be called.
        first: number of the plan's first task.
        unavailable: numbers below ``first`` that may not be referred to.
        max_tasks: tasks that the plan may have at most.
        dialect: how the text is written.
        earlier: the tools of tasks below ``first``, as far as they are known.
        source: what literal addresses, numbers and paths are copied from; ``None``: they may be any.
        copies: whether texts that are verbatim have to be copied from it, too.

    Raises:
        ConfigurationError: there is no such dialect.
        GrammarError: as for :func:`plan_grammar`.
    """
    written, offered = dialect_of(dialect), _offered(tools)
    arranged, numbers = written.arrange(offered), range(first, first + max_tasks)
    if not say_kinds(offered):
        return LarkWriter(arranged, numbers, unavailable, written).write()
    return KindLarkWriter(
        arranged, numbers, unavailable, written, source=source, earlier=dict(earlier or {}), copies=copies
    ).write()


def step_grammar(tools: Iterable[Tool], *, number: int, unavailable: Set[int] = frozenset()) -> Grammar:
    """The grammar of one turn: a thought, then call ``number`` or the answer. Lark and GBNF only.

    Raises:
        GrammarError: as for :func:`plan_grammar`.
    """
    offered = _offered(tools)
    numbers = range(number, number + 1)
    return Grammar(
        lark=LarkWriter(offered, numbers, unavailable, KEYWORD).write_step(),
        gbnf=GBNFWriter(offered, numbers, unavailable, KEYWORD).write_step(),
    )


def _offered(tools: Iterable[Tool]) -> list[Tool]:
    offered = sorted(tools, key=lambda tool: tool.name)
    if not offered:
        raise GrammarError("a grammar needs at least one tool; the toolbox is empty")
    return offered
