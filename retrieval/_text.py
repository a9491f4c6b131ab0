"""Texts as retrieval sees them: the words of a request, and what stands for a tool."""

from __future__ import annotations

import re

from plait.tools import Tool

_WORD = re.compile(r"[^\W\d_]+|\d+")
_INNER_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# Scripts that put no spaces between words: kana, ideographs, Thai, Lao, Khmer, Burmese.
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"
)


def split_words(text: str) -> list[str]:
    """The words of ``text`` in lower case; those that make up identifiers of all styles, each by itself.

    Where a script puts no spaces between words, pairs of neighbouring characters stand for them.
    """
    found: list[str] = []
    for run in _WORD.findall(text):
        if run.isascii():
            found += (run.lower(),) if run.islower() else _INNER_CAPITAL.sub(" ", run).lower().split()
        else:
            found += _unspaced(run.casefold())
    return found


def _unspaced(run: str) -> list[str]:
    found: list[str] = []
    end = 0
    for match in _UNSPACED.finditer(run):
        found += [run[end : match.start()]] if match.start() > end else []
        part, end = match[0], match.end()
        found += [part] if len(part) == 1 else [part[i : i + 2] for i in range(len(part) - 1)]
    return [*found, run[end:]] if end < len(run) else found


def tool_text(tool: Tool) -> str:
    """What stands for a tool of which no usage is known: its name, description and arguments, in words."""
    arguments = ", ".join(" ".join(split_words(field.name)) for field in tool.arguments.fields)
    described = f"{' '.join(split_words(tool.name))}: {tool.description}".strip()
    return f"{described} ({arguments})" if arguments else described
