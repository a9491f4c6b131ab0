"""What a report's script shows of each item: texts, and drawings that were made here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from plait.apps.evaluation._calls import Call, gold_calls, planned_calls
from plait.apps.evaluation._charts import N_COLOURS
from plait.apps.evaluation._dag import draw_plan
from plait.apps.evaluation._folder import LoadedRun
from plait.apps.evaluation._tables import letter, seconds
from plait.apps.evaluation._types import GenerationRecord, ItemRecord


@dataclass(slots=True)
class _Drawings:
    """Drawings by their number; most runs plan most items alike, and what is alike is kept once."""

    made: list[str] = field(default_factory=list)
    _numbers: dict[tuple[Call, ...], int] = field(default_factory=dict)

    def number(self, calls: tuple[Call, ...]) -> int:
        """The number of the drawing of ``calls``; -1 where there is nothing to draw."""
        if not calls:
            return -1
        if calls not in self._numbers:
            self._numbers[calls] = len(self.made)
            self.made.append(draw_plan(calls))
        return self._numbers[calls]


def report_data(runs: Sequence[LoadedRun]) -> dict[str, Any]:
    """The items of all runs as JSON types, in the first run's order."""
    drawings = _Drawings()
    ids = dict.fromkeys(id_ for run in runs for id_ in run.items)
    items = [_item([run.items.get(id_) for run in runs], drawings) for id_ in ids]
    return {
        "n_colours": N_COLOURS,
        "runs": [{"letter": letter(index), "label": run.label} for index, run in enumerate(runs)],
        "items": items,
        "drawings": drawings.made,
    }


def _item(records: Sequence[ItemRecord | None], drawings: _Drawings) -> dict[str, Any]:
    known = next(record for record in records if record is not None)
    return {
        "id": known.id,
        "category": known.category,
        "query": known.query,
        "gold": _gold(known.gold, drawings),
        "runs": [None if record is None else _outcome(record, drawings) for record in records],
    }


def _gold(gold: Any, drawings: _Drawings) -> dict[str, Any]:
    calls = gold_calls(gold)
    if calls is not None:
        return {"drawing": drawings.number(calls)}
    return {"text": gold if isinstance(gold, str) else json.dumps(gold, ensure_ascii=False, indent=1)}


def _outcome(record: ItemRecord, drawings: _Drawings) -> dict[str, Any]:
    return {
        "correct": record.correct,
        "detail": record.detail,
        "error": "" if record.error is None else f"{record.error.type}: {record.error.message}",
        "parsed": record.parsed,
        "drawing": drawings.number(planned_calls(record.plan)),
        "answer": record.answer,
        "outputs": [_output(generation) for generation in record.generations],
        "facts": list(_facts(record)),
    }


def _output(generation: GenerationRecord) -> str:
    calls = [json.dumps(call, ensure_ascii=False) for call in generation.tool_calls]
    return "\n".join(part for part in (generation.output, *calls) if part) or "(nothing)"


def _facts(record: ItemRecord) -> Iterator[tuple[str, str]]:
    for name, value in record.scores.items():
        yield name.replace("_", " "), f"{value:.2f}"
    times, tokens = record.times, record.tokens
    for name, time in (
        ("total", times.total_s),
        ("first call after", times.first_call_s),
        ("last call done after", times.last_call_s),
        ("planning", times.plan_s),
        ("prefill", times.prefill_s),
        ("decode", times.decode_s),
        ("tools", times.tools_s),
        ("joining", times.join_s),
    ):
        if time:
            yield name, f"{seconds(time)} s"
    yield (
        "prompt tokens",
        f"{tokens.prompt} ({tokens.cached} cached)" if tokens.cached else f"{tokens.prompt}",
    )
    yield (
        "written",
        f"{tokens.completion} ({tokens.forced} forced)" if tokens.forced else f"{tokens.completion}",
    )
    if tokens.drafted:
        yield "drafts accepted", f"{tokens.accepted} of {tokens.drafted}"
    yield "tool calls", f"{record.n_calls}"
