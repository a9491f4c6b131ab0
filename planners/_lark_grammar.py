"""Writes the grammar of plans as llguidance's Lark."""

from __future__ import annotations

import re
from dataclasses import dataclass

from plait.planners._text_grammar import TextWriter

_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"')
_PARAMETER = re.compile(r"\b_\b|::|%if")
# Texts in a string, and its end: a dollar stands for itself where no brace follows.
_STRINGS = r"""key: "\"" (TEXT | "$")* "\""
TEXT: /([^"\\$\x00-\x1f\x7f]|\\(["\\\/bfnrt$]|u[0-9a-fA-F]{4}))+/
DOLLAR: /\$+([^"\\${\x00-\x1f\x7f]|\\(["\\\/bfnrt$]|u[0-9a-fA-F]{4}))/
END: /\$*"/"""


@dataclass
class LarkWriter(TextWriter):
    """llguidance's Lark: the number of the task is a parameter of its rules."""

    max_items: int | None = 64  # a small model counts on until its plan is cut off

    def rule(self, name: str, *options: str) -> str:
        body = "\n  | ".join(options)
        # llguidance wants no parameter where no reference can stand.
        used = f"{name}::_" if _PARAMETER.search(_LITERAL.sub("", body)) else name
        self.rules.append(f"{used}: {body}")
        return used

    def write_references(self) -> list[str]:
        known = self.available(self.numbers[-1])
        if not known:
            return []
        return [
            self.rule("reference", *[f'"${k}"{self.path} %if gt(_, {k})' for k in known]),
            self.rule("inserted", *[f'"${{{k}"{self.path} "}}" %if gt(_, {k})' for k in known]),
        ]

    def write(self) -> str:
        """The grammar of plans."""
        call, number, last = self.write_call(), self._write_number(), self.numbers[-1]
        self.rule("plan", f'{number} {call} "\\n" plan::incr(_) %if le(_, {last})', f'{number} "join()"')
        return self._grammar(f"start: plan::{self.numbers[0]}")

    def write_step(self) -> str:
        """The grammar of one turn."""
        self.rule("step", f"{self._write_number()} {self.write_call()}")
        step = f"step::{self.numbers[0]}"
        return self._grammar(
            f'start: "Thought: " LINE "\\n" ({step} | "Answer: " ANSWER)',
            r"LINE: /[^\x00-\x1f\x7f]{1,400}/",
            r"ANSWER: /[^\x00]+/",
        )

    def _write_number(self) -> str:
        numbers = (*self.numbers, self.numbers[-1] + 1)
        return self.rule("number", *[f'"{k}{self.dialect.stop}" %if eq(_, {k})' for k in numbers])

    def _grammar(self, *lines: str) -> str:
        written = [f"{name}: /{pattern}/" for name, pattern in self.patterns.items()]
        return "\n".join(["%llguidance {}", *lines, *self.rules, _STRINGS, *written, ""])
