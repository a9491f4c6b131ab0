# ruff: noqa: E501  (a line of a plan is a line)
"""What n-gram drafts would save on the assistant's plans: a simulation with a tokenizer and no weights.

    python benchmarks/drafts.py                 a table; takes a few seconds
    python benchmarks/drafts.py --json          the same as JSON
    python benchmarks/drafts.py --model FILE    the tokenizer of another GGUF file

Known plans are replayed as if a model decoded them greedily under the plan grammar: drafts are made and
verified, lengths chosen and forced tokens appended as the engine would, and a batch costs what it costs by
curves that were measured on two cores. What drafts and the grammar themselves take is measured and stands
beside it. The memory of answers is empty at the start. What a real model writes may be easier or harder to guess.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from plait.apps._examples import assistant_examples
from plait.apps.evaluation._sixteen import assistant_toolbox
from plait.models import ScriptedModel, resolve
from plait.models._batch_cost import BatchCost
from plait.models._drafts import AnswerMemory, DraftToken, NGramDraft, PromptMemory, draft_tokens, word_ids
from plait.models._llama_library import llama_library
from plait.models._speculation import MAX_DRAFT, DraftLengthPolicy
from plait.planners import CompilerPlanner, PlanContext, plan_grammar

NOW = datetime(2026, 3, 4, 9, 12)

CURVES = {
    "Qwen2.5-Coder-1.5B": BatchCost((1, 2, 4, 16), (1.0, 1.5, 2.4, 4.4)),
    "SmolLM2-135M": BatchCost((1, 2, 4, 16), (1.0, 1.8, 2.5, 7.6)),
}
"""Costs of batches on two cores, in units of one token."""

PLANS = {
    "what's Sofia Marin's phone number": """\
1. get_phone_number(name="Sofia Marin")
2. join()""",
    "email the quarterly figures (figures-q1.xlsx) to Anton and Beatriz Lopes, subject Q1 figures": """\
1. get_email_address(name="Anton")
2. get_email_address(name="Beatriz Lopes")
3. open_and_get_file_path(file_name="figures-q1.xlsx")
4. compose_new_email(recipients=[$1, $2], subject="Q1 figures", attachments=[$3])
5. join()""",
    "text Malik that I'm running ten minutes late": """\
1. get_phone_number(name="Malik")
2. send_sms(recipients=[$1], message="I'm running ten minutes late")
3. join()""",
    "zoom with Priya Nair and Jonas tomorrow at 3 pm about the launch plan": """\
1. get_email_address(name="Priya Nair")
2. get_email_address(name="Jonas")
3. get_zoom_meeting_link(topic="Launch plan", start_time="2026-03-05 15:00", meeting_invitees=[$1, $2])
4. create_calendar_event(title="Launch plan", start_date="2026-03-05 15:00", location=$3, invitees=[$1, $2])
5. join()""",
    "summarize minutes_feb.pdf and add it to my note Board": """\
1. open_and_get_file_path(file_name="minutes_feb.pdf")
2. summarize_pdf(pdf_path=$1)
3. append_note_content(name="Board", content=$2)
4. join()""",
    "remind me to water the plants on friday at 8 in the morning, list Home": """\
1. create_reminder(name="Water the plants", due_date="2026-03-06 08:00", list_name="Home")
2. join()""",
    "how do I get from the central station to 12 Mill Lane on foot, and text the link to Elena Petrova": """\
1. maps_show_directions(start_location="central station", end_location="12 Mill Lane", transport="w")
2. get_phone_number(name="Elena Petrova")
3. send_sms(recipients=[$2], message="Here is the way: ${1}")
4. join()""",
    "reply to this mail that I accept the offer and will sign it next week": """\
1. reply_to_email(context="I accept the offer and will sign it next week")
2. join()""",
    "forward this to Kenji Sato and Amara, say please have a look": """\
1. get_email_address(name="Kenji Sato")
2. get_email_address(name="Amara")
3. forward_email(recipients=[$1, $2], context="Please have a look")
4. join()""",
    "make a note called Groceries with milk, eggs, rye bread and two lemons": """\
1. create_note(name="Groceries", content="milk, eggs, rye bread and two lemons")
2. join()""",
    "open my note Wifi passwords and mail what's in it to Grandpa": """\
1. open_note(name="Wifi passwords")
2. get_email_address(name="Grandpa")
3. compose_new_email(recipients=[$2], subject="Wifi passwords", context="${1}")
4. join()""",
    "lunch with Hannah Weiss on Monday 12:30 at Cafe Orient, invite her": """\
1. get_email_address(name="Hannah Weiss")
2. create_calendar_event(title="Lunch with Hannah Weiss", start_date="2026-03-09 12:30", location="Cafe Orient", invitees=[$1])
3. join()""",
    "text Omar and Lucía the address of the garage on Hill Street": """\
1. get_phone_number(name="Omar")
2. get_phone_number(name="Lucía")
3. maps_open_location(location="garage on Hill Street")
4. send_sms(recipients=[$1, $2], message="The garage on Hill Street: ${3}")
5. join()""",
    "write Dr. Feld that I have to move my appointment to next thursday, and remind me at 5 pm to call the practice": """\
1. get_email_address(name="Dr. Feld")
2. compose_new_email(recipients=[$1], subject="Moving my appointment", context="I have to move my appointment to next Thursday.")
3. create_reminder(name="Call the practice", due_date="2026-03-04 17:00")
4. join()""",
    "summarize thesis_draft.pdf and review.pdf and email both summaries to Prof. Okafor, cc Lena": """\
1. open_and_get_file_path(file_name="thesis_draft.pdf")
2. summarize_pdf(pdf_path=$1)
3. open_and_get_file_path(file_name="review.pdf")
4. summarize_pdf(pdf_path=$3)
5. get_email_address(name="Prof. Okafor")
6. get_email_address(name="Lena")
7. compose_new_email(recipients=[$5], cc=[$6], subject="Summaries", context="Thesis draft: ${2}\\n\\nReview: ${4}")
8. join()""",
    "play some jazz": "1. join()",
}  # fmt: skip
"""Requests and right plans, of every kind the assistant knows."""


class Tokenizer:
    """The tokens of a GGUF file, without its weights."""

    def __init__(self, path: Path) -> None:
        from llguidance.llamacpp import lltokenizer_from_vocab

        lib = llama_library()
        options = lib.llama_model_default_params()
        options.vocab_only = True
        self._model = lib.llama_model_load_from_file(os.fsencode(path), options)
        if not self._model:
            raise typer.BadParameter(f"{path} has no tokenizer that llama.cpp can load")
        self.table: Any = lltokenizer_from_vocab(lib.llama_model_get_vocab(self._model))

    def encode(self, data: bytes) -> list[int]:
        """The tokens of a text."""
        return list(self.table.tokenize_bytes(data))

    def piece(self, token: int) -> bytes:
        """The bytes of a token."""
        return bytes(self.table.decode_bytes([token]))

    def matcher(self, grammar: str) -> Any:
        """The matcher of llguidance for a grammar in Lark."""
        from llguidance import LLMatcher

        return LLMatcher(self.table, LLMatcher.grammar_from_lark(grammar), log_level=0)


@dataclass
class Totals:
    """What replaying some plans took."""

    n_tokens: int = 0
    """Tokens of the plans, forced ones included."""
    n_forced: int = 0
    n_drafted: int = 0
    """Guesses that were verified."""
    n_accepted: int = 0
    n_batches: int = 0
    cost: float = 0.0
    """Of all batches, in units of a batch of one token."""
    overhead_s: float = 0.0
    """Seconds that making and choosing guesses took on this machine."""


Choose = Callable[[int, Sequence[DraftToken]], int]


@dataclass
class Replayer:
    """Replays plans with one cost curve; what the policy learns stays from plan to plan."""

    tokenizer: Tokenizer
    costs: BatchCost
    length: Choose | None = None
    """Chooses the number of guesses in the place of the policy."""
    word_of: Sequence[int] | None = None
    """For the drafts."""
    totals: Totals = field(default_factory=Totals)

    def __post_init__(self) -> None:
        self.policy = DraftLengthPolicy(self.costs)
        self.memory = AnswerMemory(word_of=self.word_of)
        self.prompts = PromptMemory(word_of=self.word_of)

    def run(self, prompt: str, plan: str, grammar: str) -> None:
        """Replay one plan; the first decision comes from the prompt's own batch."""
        tokens = self.tokenizer.encode(prompt.encode())
        began = time.perf_counter()
        known, rest = self.prompts.split(tokens)
        draft = NGramDraft(rest, shared=(*self.memory.indexes, *known), word_of=self.word_of)
        self.totals.overhead_s += time.perf_counter() - began
        answer = _Answer(self.tokenizer, plan.encode(), self.tokenizer.matcher(grammar))
        forced = answer.take_forced()
        new = answer.take_decision()
        draft.extend([*forced, *new])
        self.totals.n_tokens += len(forced)
        self.totals.n_forced += len(forced)
        while not answer.is_complete():
            self.totals.n_tokens += len(new)
            self.totals.n_forced += len(new) - 1
            proposed, chain = self._guesses(draft, answer, len(new))
            n_accepted = next((i for i, g in enumerate(chain) if not answer.take_guess(g)), len(chain))
            self._count(len(new), chain, n_accepted)
            n_new = len(new)
            draft.extend([t for g in chain[:n_accepted] for t in (g.token, *g.forced)])
            if answer.is_complete():
                self.policy.observe(n_new, proposed, len(chain), n_accepted, None)
                break
            new = answer.take_decision()
            draft.extend(new)
            self.policy.observe(n_new, proposed, len(chain), n_accepted, new[0])
        else:
            self.totals.n_tokens += len(new)
            self.totals.n_forced += len(new) - 1
        self.memory.add(self.tokenizer.encode(plan.encode()))

    def _guesses(
        self, draft: NGramDraft, answer: _Answer, n_new: int
    ) -> tuple[list[DraftToken], list[DraftToken]]:
        began = time.perf_counter()
        if self.length is None:
            chance, least = self.policy.chance, self.policy.least_chance
            proposed = draft_tokens(draft, answer.matcher, limit=MAX_DRAFT, chance=chance, least=least)
        else:
            proposed = draft_tokens(draft, answer.matcher, limit=MAX_DRAFT)
        n = (self.length or self.policy.length)(n_new, proposed)
        self.totals.overhead_s += time.perf_counter() - began
        return proposed, proposed[:n]

    def _count(self, n_new: int, chain: Sequence[DraftToken], n_accepted: int) -> None:
        totals = self.totals
        totals.n_batches += 1
        totals.n_drafted += len(chain)
        totals.n_accepted += n_accepted
        stood = chain[:n_accepted]
        totals.n_tokens += sum(map(len, stood))
        totals.n_forced += sum(len(guess.forced) for guess in stood)
        totals.cost += self.costs(n_new + sum(map(len, chain)))


class _Answer:
    """A plan that is known, as a model would write it token by token under the grammar."""

    def __init__(self, tokenizer: Tokenizer, text: bytes, matcher: Any) -> None:
        self._tokenizer = tokenizer
        self._rest = text
        self.matcher = matcher

    def is_complete(self) -> bool:
        return not self._rest

    def take_forced(self) -> list[int]:
        tokens: list[int] = [] if self.matcher.is_stopped() else self.matcher.compute_ff_tokens()
        for token in tokens:
            self._take(token)
        return tokens

    def take_decision(self) -> list[int]:
        token = self._next_token()
        self._take(token)
        return [token, *self.take_forced()]

    def take_guess(self, guess: DraftToken) -> bool:
        """Take it with what it forces, if it is what comes next."""
        if self.is_complete() or guess.token != self._next_token():
            return False
        for token in (guess.token, *guess.forced):
            self._take(token)
        return True

    def _next_token(self) -> int:
        return self._tokenizer.encode(self._rest)[0]

    def _take(self, token: int) -> None:
        piece = self._tokenizer.piece(token)
        if not self._rest.startswith(piece) or not self.matcher.consume_token(token):
            raise RuntimeError(
                f"{piece!r} is not what comes before {self._rest!r} in the plan or the grammar"
            )
        self._rest = self._rest[len(piece) :]


@dataclass(frozen=True)
class Row:
    """One way to choose draft lengths, on one machine."""

    curve: str
    """Whose costs of batches."""
    method: str
    totals: Totals
    speedup: float
    """Against one token a batch without forced tokens and drafts."""
    over_forced: float
    """Against forced tokens alone."""


METHODS: dict[str, Choose | None] = {
    "forced tokens only": lambda n_new, chain: 0,
    "always up to 4": lambda n_new, chain: min(4, len(chain)),
    "always up to 15": lambda n_new, chain: len(chain),
    "policy": None,
}


def prompt_for(query: str) -> str:
    """The planner's prompt for ``query`` as ChatML."""
    planner = CompilerPlanner(ScriptedModel([]), assistant_toolbox(), examples=assistant_examples())
    messages = planner.messages(PlanContext(query, now=NOW))
    return (
        "".join(f"<|im_start|>{m.role}\n{m.content}<|im_end|>\n" for m in messages)
        + "<|im_start|>assistant\n"
    )


def measure(tokenizer: Tokenizer, word_of: Sequence[int]) -> list[Row]:
    """Replay all plans with every curve and method."""
    grammar = plan_grammar(assistant_toolbox()).lark or ""
    prompts = {query: prompt_for(query) for query in PLANS}
    rows = []
    for curve, costs in CURVES.items():
        forced_cost = 0.0
        for method, length in METHODS.items():
            replayer = Replayer(tokenizer, costs, length, word_of)
            for query, plan in PLANS.items():
                replayer.run(prompts[query], plan, grammar)
            totals = replayer.totals
            forced_cost = forced_cost or totals.cost
            plain = (totals.n_tokens - len(PLANS)) * costs(1)
            rows.append(Row(curve, method, totals, plain / totals.cost, forced_cost / totals.cost))
    return rows


def main(
    model: Annotated[
        str, typer.Option(help="Catalog name or GGUF file whose tokenizer is used.")
    ] = "smollm2-135m",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Simulate n-gram drafts on known plans."""
    tokenizer = Tokenizer(resolve(model, download=False))
    word_of = word_ids(tokenizer.piece(token) for token in range(tokenizer.table.vocab_size))
    rows = measure(tokenizer, word_of)
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
        return
    table = Table(title=f"N-gram drafts on {len(PLANS)} plans, tokenizer of {model} (simulated)")
    for heading in (
        "costs of",
        "method",
        "tokens",
        "forced",
        "guesses",
        "stood",
        "batches",
        "speed-up",
        "by drafts",
        "overhead",
    ):
        table.add_column(heading, justify="left" if heading in ("costs of", "method") else "right")
    for row in rows:
        t = row.totals
        stood = f"{t.n_accepted / t.n_drafted:.0%}" if t.n_drafted else "-"
        table.add_row(
            row.curve, row.method, str(t.n_tokens), f"{t.n_forced / t.n_tokens:.0%}", str(t.n_drafted), stood,
            str(t.n_batches), f"{row.speedup:.2f}x", f"{row.over_forced:.2f}x", f"{t.overhead_s / t.n_batches * 1e6:.0f} µs",
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
