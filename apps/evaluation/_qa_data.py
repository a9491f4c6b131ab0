"""Reading the data of LLMCompiler's question-answering benchmarks (arXiv 2312.04511)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from plait.apps.evaluation._types import Item
from plait.errors import ConfigurationError

QAKind: TypeAlias = Literal["parallelqa", "hotpotqa", "movie"]
_Text: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_OPTIONS = "\nOptions:\n"


class _Entry(BaseModel):
    """An entry of the data; what it has beyond these fields is not read."""

    model_config = ConfigDict(strict=True)

    id: _Text
    question: _Text
    answer: _Text

    @property
    def category(self) -> str:
        return "all"

    def data(self) -> dict[str, Any]:
        return {}


class _ParallelQA(_Entry):
    branch: int

    @property
    def category(self) -> str:
        return f"{self.branch} things"


class _HotpotQA(_Entry):
    level: str

    @property
    def category(self) -> str:
        return "yes or no" if self.answer.lower() in ("yes", "no") else "other"


class _Movie(_Entry):
    @property
    def category(self) -> str:
        return "movie"

    def data(self) -> dict[str, Any]:
        _, _, after = self.question.partition(_OPTIONS)
        options = [line.strip() for line in after.splitlines() if line.strip()]
        if len(options) < 2 or len(set(options)) < len(options):
            raise ValueError("question: two or more different options must follow a line 'Options:'")
        if self.answer not in options:
            raise ValueError(f"answer: {self.answer!r} is none of the options")
        return {"options": options}


_ENTRIES: dict[str, type[_Entry]] = {"parallelqa": _ParallelQA, "hotpotqa": _HotpotQA, "movie": _Movie}
_SUFFIXES: dict[str, str] = {
    "parallelqa": " Answer with the name or the number alone.",
    "hotpotqa": " Answer with yes, no, or the name or word that is asked for, alone.",
    "movie": "\nAnswer with the title of one option alone.",
}


@dataclass(frozen=True, slots=True)
class QAData:
    """The questions of a file."""

    items: tuple[Item, ...]
    sha256: str
    """Of the file."""


def suffixed(kind: QAKind, question: str) -> str:
    """The question with a word on how to answer it; examples end in the same one."""
    return question.strip() + _SUFFIXES[kind]


def load_qa(kind: QAKind, path: Path) -> QAData:
    """Read a JSON file: a list of objects with ``id``, ``question``, ``answer``.

    Also ``branch`` (of how many things it asks) for parallelqa and ``level`` for hotpotqa; the question of
    movie ends in its options, a line each, below ``Options:``.

    Raises:
        ConfigurationError: the kind is unknown, or the file cannot be read or has another shape; it names
            the entry.
    """
    if kind not in _ENTRIES:
        raise ConfigurationError(f"there is no benchmark {kind!r}; choose one of {', '.join(_ENTRIES)}")
    try:
        content = path.read_bytes()
        entries = json.loads(content)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read ({error.strerror or error}); give the {kind} data with --data"
        ) from error
    except ValueError as error:
        raise ConfigurationError(f"{path} is no JSON file ({error}); fetch it anew") from error
    if not isinstance(entries, list) or not entries:
        raise ConfigurationError(
            f"{path} has no list of questions; give the {kind} data as LLMCompiler has it"
        )
    items = [_item(kind, path, number, entry) for number, entry in enumerate(entries, 1)]
    _check_unique(path, items)
    return QAData(tuple(items), hashlib.sha256(content).hexdigest())


def _item(kind: QAKind, path: Path, number: int, entry: Any) -> Item:
    try:
        read = _ENTRIES[kind].model_validate(entry)
        data = {"question": read.question, **read.data()}
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise _bad_entry(kind, path, number, f"{where}: {first['msg']}" if where else first["msg"]) from error
    except ValueError as error:
        raise _bad_entry(kind, path, number, str(error)) from error
    return Item(read.id, read.category, suffixed(kind, read.question), gold=read.answer, data=data)


def _bad_entry(kind: QAKind, path: Path, number: int, why: str) -> ConfigurationError:
    return ConfigurationError(f"{path}, entry {number}, is no question of {kind} ({why}); mend the entry")


def _check_unique(path: Path, items: list[Item]) -> None:
    first: dict[str, int] = {}
    for number, item in enumerate(items, 1):
        if first.setdefault(item.id, number) != number:
            both = f"entries {first[item.id]} and {number}"
            raise ConfigurationError(f"{path}: {both} have the same id {item.id!r}; give each its own")
