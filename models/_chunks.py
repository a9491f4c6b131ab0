"""What the chunks of a streamed answer hold: text, calls, and what the server counted and measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, Field

from plait.models._told import Count, Milliseconds, Told
from plait.models._types import Usage


class _PromptDetails(BaseModel):
    cached_tokens: Told[Count] = None


class _CompletionDetails(BaseModel):
    accepted_prediction_tokens: Told[Count] = None
    rejected_prediction_tokens: Told[Count] = None


class ChunkUsage(BaseModel):
    """OpenAI's counts."""

    prompt_tokens: Told[Count] = None
    completion_tokens: Told[Count] = None
    prompt_tokens_details: Told[_PromptDetails] = None
    completion_tokens_details: Told[_CompletionDetails] = None


class LlamaTimings(BaseModel):
    """What llama-server adds of its own; the counts are of tokens."""

    cache_n: Told[Count] = None  # of the prompt, found in the slot; not told before August 2025
    prompt_n: Told[Count] = None  # of the prompt, computed
    prompt_ms: Told[Milliseconds] = None
    predicted_n: Told[Count] = None
    predicted_ms: Told[Milliseconds] = None
    draft_n: Told[Count] = None
    draft_n_accepted: Told[Count] = None


class _VLLMDrafts(BaseModel):
    num_draft_tokens: Told[Count] = None
    num_accepted_draft_tokens: Told[Count] = None


class VLLMRequestMetrics(BaseModel):
    """What vLLM adds if it was started with ``--enable-per-request-metrics`` and the like."""

    time_to_first_token_ms: Told[Milliseconds] = None
    generation_time_ms: Told[Milliseconds] = None
    speculative_decoding: Told[_VLLMDrafts] = None


class _FunctionDelta(BaseModel):
    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(BaseModel):
    """A piece of a function call."""

    index: int | None = None
    id: str | None = None
    function: _FunctionDelta = Field(default_factory=_FunctionDelta)


class Delta(BaseModel):
    """A piece of the answer."""

    content: str | None = None
    tool_calls: list[ToolCallDelta] | None = None


class Choice(BaseModel):
    """The one answer that is asked for."""

    delta: Delta | None = None
    finish_reason: str | None = None


class Chunk(BaseModel):
    """One event of the stream."""

    choices: list[Choice] = []
    usage: Told[ChunkUsage] = None
    timings: Told[LlamaTimings] = None
    metrics: Told[VLLMRequestMetrics] = None
    error: Any = None


@dataclass(slots=True)
class Measured:
    """What a server counted and measured in one answer; the last chunk that tells counts."""

    usage: ChunkUsage = field(default_factory=ChunkUsage)
    """OpenAI's counts."""
    timings: LlamaTimings = field(default_factory=LlamaTimings)
    """llama-server's."""
    metrics: VLLMRequestMetrics = field(default_factory=VLLMRequestMetrics)
    """vLLM's."""

    def take(self, chunk: Chunk) -> None:
        """Keep what ``chunk`` tells."""
        self.usage = chunk.usage or self.usage
        self.timings = chunk.timings or self.timings
        self.metrics = chunk.metrics or self.metrics

    def fill(self, usage: Usage) -> None:
        """Write it into ``usage``. The servers' own times are without their queues and the network."""
        counted, timings, metrics = self.usage, self.timings, self.metrics
        usage.cached_tokens = self._n_cached()
        usage.prompt_tokens = counted.prompt_tokens or usage.cached_tokens + (timings.prompt_n or 0)
        usage.completion_tokens = counted.completion_tokens or timings.predicted_n or 0
        usage.draft_tokens, usage.accepted_tokens = self._n_drafted()
        usage.prefill_s = (timings.prompt_ms or metrics.time_to_first_token_ms or 0.0) / 1000
        usage.decode_s = (timings.predicted_ms or metrics.generation_time_ms or 0.0) / 1000

    def _n_cached(self) -> int:
        details, timings = self.usage.prompt_tokens_details, self.timings
        if timings.cache_n is not None:
            return timings.cache_n
        if details is not None and details.cached_tokens is not None:
            return details.cached_tokens
        if self.usage.prompt_tokens is not None and timings.prompt_n is not None:
            return max(0, self.usage.prompt_tokens - timings.prompt_n)
        return 0

    def _n_drafted(self) -> tuple[int, int]:
        """Tokens that were drafted, and those of them that stood."""
        timings, drafts = self.timings, self.metrics.speculative_decoding
        if timings.draft_n:
            return timings.draft_n, timings.draft_n_accepted or 0
        if drafts is not None and drafts.num_draft_tokens:
            return drafts.num_draft_tokens, drafts.num_accepted_draft_tokens or 0
        predicted = self.usage.completion_tokens_details
        if predicted is not None and predicted.accepted_prediction_tokens:
            n_accepted = predicted.accepted_prediction_tokens
            return n_accepted + (predicted.rejected_prediction_tokens or 0), n_accepted
        return 0, 0
