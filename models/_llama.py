"""The local engine: a GGUF file as a chat model, decoded in this process by llama.cpp."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plait.errors import GrammarError, MissingExtraError, ModelError
from plait.models._calls import calls_in
from plait.models._generation import StopTexts, check_context, generate, grammar_form
from plait.models._prefix_cache import PrefixCache
from plait.models._types import FinishReason, Generation, Grammar, GrammarKind, Message
from plait.models._warm_start import WarmStart, static_tokens

if TYPE_CHECKING:
    import numpy as np

    from plait.models._engine import Engine


class LlamaModel:
    """A chat model from a GGUF file.

    Requests on one model run one after the other, each in a thread of its own; the beginning that a
    prompt shares with an earlier one is not computed again. What messages mark as static is kept on disk
    too, and taken from there by the next process.

    Args:
        path: the GGUF file.
        name: what to call it; the file's name by default.
        context_length: tokens of prompt and answer together; ``None`` is the model's own, at most 8192.
        n_threads: CPU threads; ``None`` is one for each core that this process may use.
        chat_template: a Jinja template in the place of the file's own.
        prefix_cache: where states of static prompts are kept; True is what the environment says, False
            keeps none.

    Raises:
        ModelFileError: the file is missing, truncated, no GGUF, or llama.cpp cannot load it.
        ModelError: the file has no chat template and none is given.
        MissingExtraError: the extra ``local`` is not installed.
        ConfigurationError: the environment's settings of the prefix cache are wrong.
    """

    grammar_kind: GrammarKind | None = "lark"

    def __init__(
        self,
        path: str | Path,
        *,
        name: str | None = None,
        context_length: int | None = None,
        n_threads: int | None = None,
        chat_template: str | None = None,
        prefix_cache: PrefixCache | bool = True,
    ) -> None:
        from plait.models._engine import Engine
        from plait.models._store import check_gguf
        from plait.models._template import ChatTemplate

        check_gguf(path)
        if isinstance(prefix_cache, bool):
            chosen = PrefixCache.from_environment() if prefix_cache else None
        else:
            chosen = prefix_cache
        self.path = Path(path)
        self.name = name or self.path.stem
        self._engine: Engine = Engine(self.path, context_length=context_length, n_threads=n_threads)
        self.context_length = self._engine.context_length
        source = chat_template or self._engine.chat_template
        if source is None:
            self._engine.close()
            raise ModelError(
                f"{self.name} has no chat template, so it is no chat model; pass one with chat_template=",
                model=self.name,
            )
        self._template = ChatTemplate(
            source,
            bos=self._engine.special_text("bos"),
            eos=self._engine.special_text("eos"),
            control_texts=self._engine.control_texts(),
            model=self.name,
        )
        self.prefix_cache: PrefixCache | None = chosen
        """Where states of static prompts are kept, if anywhere; its ``problem`` says why not."""
        self._warm_start = WarmStart(self._engine, chosen) if chosen else None
        self._closed = threading.Event()

    @property
    def description(self) -> str:
        """Architecture, size and quantization as llama.cpp names them."""
        return self._engine.description

    @property
    def n_parameters(self) -> int:
        """The number of weights."""
        return self._engine.n_parameters

    def count_tokens(self, messages: Sequence[Message], *, tools: Sequence[Mapping[str, Any]] = ()) -> int:
        """Tokens of the prompt that ``messages`` make, exactly."""
        return len(self._prompt(messages, tools))

    def stream(
        self,
        messages: Sequence[Message],
        *,
        grammar: Grammar | None = None,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        seed: int | None = None,
        temperature: float = 0.0,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> Generation:
        """Answer ``messages``; see :class:`~plait.models.ChatModel`.

        With ``tools``, the text comes at the end, when it is known which of it is calls.
        """
        options = _Options(tuple(messages), grammar, max_tokens, tuple(stop), seed, temperature, tuple(tools))
        return generate(lambda generation: self._answer(generation, options))

    async def aclose(self) -> None:
        """Free the weights; a generation under way is ended first, and what is being stored is stored."""
        self._closed.set()
        await asyncio.to_thread(self._engine.close)
        if self._warm_start is not None:
            await asyncio.to_thread(self._warm_start.wait)

    async def _answer(self, generation: Generation, options: _Options) -> AsyncGenerator[str, None]:
        """Decode in a thread, and pass the text on as it comes."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[str | Exception | None] = asyncio.Queue()
        left = threading.Event()

        def put(item: str | Exception | None) -> None:
            # A loop that was closed has no reader any more, and `left` will be seen at the next token.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(queue.put_nowait, item)

        def work() -> None:
            try:
                with self._engine.lock:
                    prompt = self._encoded(options)
                    self._decode(
                        prompt, generation, options, put, lambda: left.is_set() or self._closed.is_set()
                    )
                    put(None)
                    # Only now, when nobody waits for it any more.
                    if self._warm_start is not None:
                        self._warm_start.save(prompt.static)
            except Exception as error:  # noqa: BLE001  (raised again by the reader, below)
                put(error)

        thread = threading.Thread(target=work, name=f"plait-decode-{self.name}", daemon=True)
        thread.start()
        try:
            while (item := await queue.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            left.set()

    def _encoded(self, options: _Options) -> _Prompt:
        if self._closed.is_set():
            raise ModelError(f"{self.name} was closed; load it again", model=self.name)
        text = self._template.render(options.messages, options.tools)
        tokens = self._engine.tokenize(text)
        check_context(len(tokens), options.max_tokens, self.context_length, model=self.name)
        if self._warm_start is None:
            return _Prompt(tokens, [])
        static = text[: self._template.static_length(text, options.messages, options.tools)]
        return _Prompt(tokens, static_tokens(self._engine.tokenize(static) if static else [], tokens))

    def _decode(
        self,
        prompt: _Prompt,
        generation: Generation,
        options: _Options,
        put: Callable[[str], None],
        cancelled: Callable[[], bool],
    ) -> None:
        matcher = self._matcher(options.grammar)
        n_room = self.context_length - len(prompt.tokens)
        decoding = _Decoding(self._engine, matcher, options, n_room, self._warm_start)
        if not options.tools:
            decoding.run(prompt, generation, put, cancelled)
            return
        pieces: list[str] = []
        decoding.run(prompt, generation, pieces.append, cancelled)
        text, calls = calls_in("".join(pieces))
        generation.tool_calls.extend(calls)
        if text:
            put(text)

    def _prompt(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> list[int]:
        return self._engine.tokenize(self._template.render(messages, tools))

    def _matcher(self, grammar: Grammar | None) -> Any:
        form = grammar_form(grammar, self.grammar_kind, model=self.name)
        if form is None:
            return None
        table = self._token_table
        from llguidance import LLMatcher

        matcher = LLMatcher(table, LLMatcher.grammar_from_lark(form), log_level=0)
        if matcher.is_error():
            raise GrammarError(f"llguidance refuses the grammar: {matcher.get_error().strip()}")
        return matcher

    @cached_property
    def _token_table(self) -> Any:
        """The vocabulary as llguidance sees it; takes up to a second to build, once."""
        try:
            from llguidance.llamacpp import lltokenizer_from_vocab
        except ImportError as error:
            raise MissingExtraError("llguidance", "local") from error
        return lltokenizer_from_vocab(self._engine.vocab)


@dataclass(frozen=True, slots=True)
class _Options:
    messages: tuple[Message, ...]
    grammar: Grammar | None
    max_tokens: int | None
    stop: tuple[str, ...]
    seed: int | None
    temperature: float
    tools: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class _Prompt:
    tokens: list[int]
    static: list[int]
    """The first of them, which are the same in other requests."""


class _Decoding:
    """The decode loop of one answer.

    Tokens that the grammar forces are appended in the same batch as the token before them, unsampled.
    """

    def __init__(
        self,
        engine: Engine,
        matcher: Any,
        options: _Options,
        n_room: int,
        warm_start: WarmStart | None = None,
    ) -> None:
        import numpy as np

        self._engine = engine
        self._warm_start = warm_start
        self._matcher = matcher
        self._max_tokens = n_room if options.max_tokens is None else min(options.max_tokens, n_room)
        self._temperature = options.temperature
        self._random = np.random.default_rng(options.seed)
        self._stop = StopTexts(options.stop)
        self._text = codecs.getincrementaldecoder("utf-8")("replace")
        # Where calls are read from the text, the control tokens around them belong to it.
        self._special = bool(options.tools)

    def run(
        self,
        prompt: _Prompt,
        generation: Generation,
        put: Callable[[str], None],
        cancelled: Callable[[], bool],
    ) -> None:
        """Prefill and decode to the end; fills in ``generation`` and hands text to ``put``."""
        usage = generation.usage
        began = time.perf_counter()
        usage.prompt_tokens = len(prompt.tokens)
        if self._warm_start is not None:
            usage.restored_tokens = self._warm_start.restore(prompt.static)
        forced = self._forced(self._max_tokens)
        usage.cached_tokens, was_cancelled = self._engine.prefill([*prompt.tokens, *forced], cancelled)
        usage.cached_tokens = min(usage.cached_tokens, len(prompt.tokens))
        usage.prefill_s = time.perf_counter() - began
        new = forced
        n_free = 0  # tokens that were sampled
        reason: FinishReason | None = "cancelled" if was_cancelled else None
        while reason is None:
            if new:
                usage.completion_tokens += len(new)
                usage.forced_tokens = usage.completion_tokens - n_free
                self._write(new, put)
            if self._stop.found or (self._matcher is not None and self._matcher.is_stopped()):
                reason = "stop"
            elif usage.completion_tokens >= self._max_tokens:
                reason = "length"
            elif cancelled():
                reason = "cancelled"
            else:
                if new is not forced:
                    self._engine.decode(new)
                token = self._sample()
                if self._engine.is_end(token):
                    reason = "stop"
                    break
                n_free += 1
                self._consume(token)
                new = [token, *self._forced(self._max_tokens - usage.completion_tokens - 1)]
        if reason != "cancelled":
            tail = (
                ""
                if self._stop.found
                else self._stop.feed(self._text.decode(b"", final=True)) + self._stop.flush()
            )
            if tail:
                put(tail)
        generation.finish_reason = reason
        usage.decode_s = time.perf_counter() - began - usage.prefill_s

    def _write(self, tokens: Sequence[int], put: Callable[[str], None]) -> None:
        data = b"".join(self._engine.piece(token, special=self._special) for token in tokens)
        text = self._stop.feed(self._text.decode(data))
        if text:
            put(text)

    def _forced(self, limit: int) -> list[int]:
        """The tokens that the grammar leaves no choice about, at most ``limit``."""
        if self._matcher is None or limit <= 0 or self._matcher.is_stopped():
            return []
        tokens: list[int] = self._matcher.compute_ff_tokens()[:limit]
        for token in tokens:
            self._consume(token)
        return tokens

    def _consume(self, token: int) -> None:
        if self._matcher is not None and not self._matcher.consume_token(token):
            raise GrammarError(f"the grammar came to a dead end: {self._matcher.get_error().strip()}")

    def _sample(self) -> int:
        import numpy as np

        logits = self._engine.logits()
        if self._matcher is not None:
            bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
            if self._matcher.is_error():
                raise GrammarError(f"the grammar came to a dead end: {self._matcher.get_error().strip()}")
            allowed = np.unpackbits(bits, bitorder="little")[: len(logits)].view(bool)
            logits = np.where(allowed, logits, -np.inf)
        if self._temperature <= 0.0:
            return int(logits.argmax())
        return self._draw(logits)

    def _draw(self, logits: np.ndarray[Any, Any]) -> int:
        import numpy as np

        scaled = (logits - logits.max()) / self._temperature
        weights = np.exp(scaled.astype(np.float64))
        return int(self._random.choice(len(weights), p=weights / weights.sum()))


def load_model(model: str | Path, *, context_length: int | None = None, download: bool = True) -> LlamaModel:
    """The local model of that catalog name or path; a catalog model that is not there yet is downloaded.

    Raises:
        UnknownModelError, ModelFileError, DownloadError: it cannot be had; the message says what to do.
    """
    from plait.models._download import resolve

    path = resolve(model, download=download)
    name = str(model) if str(model) != str(path) else path.stem
    return LlamaModel(path, name=name, context_length=context_length)
