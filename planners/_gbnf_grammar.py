"""Writes the grammar of plans as llama.cpp's GBNF."""

from __future__ import annotations

from dataclasses import dataclass

from plait.planners._text_grammar import TextWriter

# Texts in a string, and its end: a dollar stands for itself where no brace follows.
_STRINGS = r"""key ::= "\"" (TEXT | "$")* "\""
ESCAPE ::= "\\" (["\\/bfnrt$] | "u" [0-9a-fA-F]{4})
TEXT ::= [^"\\$\x00-\x1f\x7f] | ESCAPE
DOLLAR ::= "$"+ ([^"\\${\x00-\x1f\x7f] | ESCAPE)
END ::= "$"* "\""
"""


@dataclass
class GBNFWriter(TextWriter):
    """llama.cpp's GBNF: each rule is written once for each number."""

    number: int = 0

    def rule(self, name: str, *options: str) -> str:
        used = f"{name}-{self.number}"
        self.rules.append(f"{used} ::= {' | '.join(options)}")
        return used

    def write_references(self) -> list[str]:
        known = " | ".join(f'"{k}"' for k in self.available(self.number))
        if not known:
            return []
        return [
            self.rule("reference", f'"$" ({known}){self.path}'),
            self.rule("inserted", f'"${{" ({known}){self.path} "}}"'),
        ]

    def write(self) -> str:
        """The grammar of plans."""
        stop = self.dialect.stop
        for number in self.numbers:
            call = self._write_call_of(number)
            self.rule("plan", f'"{number}{stop}" ({call} "\\n" plan-{number + 1} | "join()")')
        self.number = self.numbers[-1] + 1
        self.rule("plan", f'"{self.number}{stop}join()"')
        return self._grammar(f"root ::= plan-{self.numbers[0]}")

    def write_step(self) -> str:
        """The grammar of one turn."""
        number = self.numbers[0]
        turn = f'("{number}{self.dialect.stop}" {self._write_call_of(number)} | "Answer: " [^\\x00]+)'
        return self._grammar(f'root ::= "Thought: " [^\\x00-\\x1f\\x7f]{{1,400}} "\\n" {turn}')

    def _write_call_of(self, number: int) -> str:
        self.number, self.values, self.n_objects = number, {}, 0
        return self.write_call()

    def _grammar(self, *lines: str) -> str:
        written = [f"{name} ::= {pattern}" for name, pattern in self.patterns.items()]
        return "\n".join([*lines, *self.rules, _STRINGS, *written, ""])
