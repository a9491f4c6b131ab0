"""Usages written by a language model, for tools that have too few, after ToolBank (arXiv 2409.02141).

Half of a tool's usages are for it alone, the other half for it and a tool that it occurs with. What the
model writes is polished by a second call, then checked.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from plait.errors import ConfigurationError, ContextLengthError
from plait.models import ChatModel, Message
from plait.retrieval._tool2vec import Tool2Vec
from plait.retrieval._types import Usage
from plait.retrieval._usage_checks import UsageChecker
from plait.retrieval._usage_prompts import (
    PROMPTS_FINGERPRINT,
    described,
    polishing_messages,
    read_requests,
    requests_grammar,
    writing_messages,
)
from plait.tools import Tool, Toolbox

_TEMPERATURE = 0.8
_TOKENS_A_REQUEST = 80
_AT_ONCE = 10  # requests that a call is asked for: more take room from the prompt, and grow alike
_TOO_LONG = "longer than the model's context"

GenerationProgress = Callable[[int, int], None]
"""Called with the number of tools that are done, and of those that there are."""


@dataclass(frozen=True, slots=True)
class GeneratedUsages:
    """What a model wrote."""

    usages: tuple[Usage, ...]
    """Those that were kept."""
    n_refused: Mapping[str, int]
    """How many were not, by the reason."""
    too_long: tuple[str, ...] = ()
    """Tools for which less was written, because descriptions are longer than the model's context."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """What a model wrote for one tool, before it is checked."""

    requests: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    """Each with the tools that it needs: its versions, the best one first."""
    n_too_long: int
    """How many were not asked for, because the model has no room."""


@dataclass(frozen=True, slots=True)
class _Written:
    """What was written for one tool: a line of the journal."""

    tool: str
    key: str
    usages: tuple[Usage, ...]
    refused: tuple[str, ...]


async def generate_usages(
    index: Tool2Vec,
    toolbox: Toolbox,
    model: ChatModel,
    n: int,
    *,
    seed: int = 0,
    concurrency: int = 8,
    journal: Path | None = None,
    progress: GenerationProgress | None = None,
) -> GeneratedUsages:
    """Usages for the tools of ``index`` that have fewer than ``n``.

    Args:
        index: the tools, and the usages that they have.
        toolbox: the same tools with their signatures and descriptions.
        model: writes; its grammar is used where it enforces one.
        n: how many usages each tool should have. There may be fewer in the end, since some are refused.
        seed: of what the model samples, and of which tools are put together.
        concurrency: how many tools are written for at a time: the local engine and servers run them in shared
            batches. What is kept does not depend on it, since tools are checked in their order.
        journal: a file to which a tool is written when it and all before it are done, and which is read
            first: who was interrupted goes on. It is for the caller to delete. What another model wrote, or
            for a tool that has changed, is not taken.
        progress: called for each tool.

    Raises:
        ConfigurationError: ``n`` or ``concurrency`` is not positive, or the journal cannot be used.
        ModelError: the model or the encoder failed.
    """
    if n < 1:
        raise ConfigurationError(f"{n} usages are wanted for each tool; ask for one or more")
    if concurrency < 1:
        raise ConfigurationError(f"{concurrency} tools cannot be written for at a time; take one or more")
    checker = UsageChecker(index, toolbox)
    n_known = Counter(name for usage in index.usages for name in usage.tools)
    names = [name for name in index.names if name in toolbox.names and n_known[name] < n]
    n_wanted = {name: n - n_known[name] for name in names}
    keys = {name: _key(index, toolbox[name], model, n_wanted[name], seed) for name in names}
    done = {written.key: written for written in _read_journal(journal)}

    async def draft(name: str) -> _Draft | None:
        if keys[name] in done:
            return None
        writer = _Writer(model, toolbox, Random(f"{seed} {name}"))  # noqa: S311
        partners = [other for other in _group_of(index, name) if other in toolbox.names and other != name]
        return await writer.draft(name, n_wanted[name], partners)

    found: list[_Written] = []
    report = progress or (lambda _done, _all: None)
    report(0, len(names))
    async with aclosing(_in_order((draft(name) for name in names), concurrency)) as drafts:
        async for one in drafts:
            name = names[len(found)]
            if one is None:
                checker.remember(done[keys[name]].usages)
                found.append(done[keys[name]])
            else:
                found.append(_checked(name, keys[name], one, checker))
                _append(journal, found[-1])
            report(len(found), len(names))
    refused = Counter(reason for written in found for reason in written.refused)
    usages = tuple(usage for written in found for usage in written.usages)
    too_long = tuple(written.tool for written in found if _TOO_LONG in written.refused)
    return GeneratedUsages(usages, dict(refused), too_long)


async def _in_order(
    calls: Iterable[Coroutine[Any, Any, _Draft | None]], concurrency: int
) -> AsyncGenerator[_Draft | None]:
    """What ``calls`` give, in their order, with so many of them under way."""
    waiting: deque[asyncio.Task[_Draft | None]] = deque()
    try:
        for call in calls:
            waiting.append(asyncio.create_task(call))
            if len(waiting) == concurrency:
                yield await waiting.popleft()
        while waiting:
            yield await waiting.popleft()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def _checked(name: str, key: str, draft: _Draft, checker: UsageChecker) -> _Written:
    """What of a draft is kept: of each request the first version that passes."""
    usages: list[Usage] = []
    refused = [_TOO_LONG] * draft.n_too_long
    for tools, versions in draft.requests:
        reason: str | None = None
        for query in versions:
            reason = checker.keep(Usage(query, tools))
            if reason is None:
                usages.append(Usage(query, tools))
                break
        if reason is not None:
            refused.append(reason)
    return _Written(name, key, tuple(usages), tuple(refused))


class _Writer:
    """Writes the requests for one tool."""

    def __init__(self, model: ChatModel, toolbox: Toolbox, rng: Random) -> None:
        self._model = model
        self._toolbox = toolbox
        self._rng = rng

    async def draft(self, name: str, n: int, partners: Sequence[str]) -> _Draft:
        """``n`` requests: half of them for this tool alone, half for it and one of ``partners``."""
        requests: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
        n_too_long = 0
        n_together = n // 2 if partners else 0
        for tools, n_wanted in (
            ((name,), n - n_together),
            ((name, self._rng.choice(partners)) if n_together else (name,), n_together),
        ):
            for n_before in range(0, n_wanted, _AT_ONCE):
                try:
                    written = await self._requests(tools, min(_AT_ONCE, n_wanted - n_before))
                except ContextLengthError:
                    n_too_long += n_wanted - n_before
                    break
                requests += ((tools, versions) for versions in written)
        return _Draft(tuple(requests), n_too_long)

    async def _requests(self, names: Sequence[str], n: int) -> list[tuple[str, ...]]:
        """Requests that need these tools: each as it was polished, if it was, and as it was written.

        Raises:
            ContextLengthError: the tools' descriptions leave no room for the answer.
        """
        tools = [self._toolbox[name] for name in names]
        written = read_requests(await self._answer(writing_messages(tools, n), n))[:n]
        if not written:
            return []
        try:
            polished = read_requests(await self._answer(polishing_messages(tools, written), len(written)))
        except ContextLengthError:  # with the requests they have no room; as they are, they may do
            polished = []
        if len(polished) != len(written):  # nobody knows which is which
            return [(request,) for request in written]
        return [tuple(dict.fromkeys(both)) for both in zip(polished, written, strict=True)]

    async def _answer(self, messages: Sequence[Message], n: int) -> str:
        generation = self._model.stream(
            messages,
            grammar=requests_grammar(n) if self._model.grammar_kind is not None else None,
            max_tokens=_TOKENS_A_REQUEST * n,
            seed=self._rng.randrange(2**31),
            temperature=_TEMPERATURE,
        )
        async with aclosing(generation):
            text = await generation.text()
        # What was cut off would be a request without its end.
        return text.rpartition("\n")[0] if generation.finish_reason == "length" else text


def _group_of(index: Tool2Vec, name: str) -> Sequence[str]:
    return next((group for group in index.groups if name in group), ())


def _key(index: Tool2Vec, tool: Tool, model: ChatModel, n: int, seed: int) -> str:
    """What a tool's usages depend on."""
    text = index.entries.tools[index.entries.numbers[tool.name]].text
    parts = (tool.name, text, described([tool]), model.name, PROMPTS_FINGERPRINT, str(n), str(seed))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _read_journal(path: Path | None) -> Iterator[_Written]:
    """What was written before; a line that a kill has cut is passed over."""
    if path is None or not path.exists():
        return
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise _unusable(path, error) from error
    for line in lines:
        try:
            found: Any = json.loads(line)
            usages = tuple(Usage(usage["query"], tuple(usage["tools"])) for usage in found["usages"])
            yield _Written(found["tool"], found["key"], usages, tuple(found["refused"]))
        except (ValueError, KeyError, TypeError):
            continue


def _append(path: Path | None, written: _Written) -> None:
    if path is None:
        return
    line = json.dumps(
        {
            "tool": written.tool,
            "key": written.key,
            "usages": [{"query": usage.query, "tools": usage.tools} for usage in written.usages],
            "refused": written.refused,
        }
    )
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"\n{line}")  # first the line's end, which one that was cut lacks
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"the journal {path} cannot be used: {error.strerror or error}; mend that, or move it away"
    )
