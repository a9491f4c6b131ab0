"""The local engine: a GGUF file as a chat model, decoded in this process by llama.cpp."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plait.errors import ModelError
from plait.models._adapter import Adapter, read_adapter
from plait.models._calibration import speculation, tune_threads
from plait.models._calls import calls_in
from plait.models._deferred import DeferredModel
from plait.models._generation import check_context, generate, grammar_form
from plait.models._memory import KVType
from plait.models._placement import Placement
from plait.models._prefix_cache import PrefixCache
from plait.models._types import ChatModel, Generation, Grammar, GrammarKind, Message
from plait.models._warm_start import WarmStart, shared_tokens

if TYPE_CHECKING:
    from plait.models._decoding import Prompt
    from plait.models._engine import Engine, Weights
    from plait.models._speculation import SpeculationCounts
    from plait.models._template import ChatTemplate

ADAPTED_CONTEXT = 2560
"""Tokens of prompt and answer of a model with an adapter, whose prompts are short, if none is asked for."""


class LlamaModel:
    """A chat model from a GGUF file.

    Requests on one model run together: what they want next is computed in one batch. The beginning that a
    prompt shares with an earlier one is not computed again. What messages mark as static is kept on disk
    too, and taken from there by the next process. Where the model runs, and with how many threads, is
    chosen by what the machine has and by measurement, once for each model and machine.

    Args:
        path: the GGUF file.
        name: what to call it; the file's name by default.
        context_length: tokens of prompt and answer together, and of all requests that run at once; ``None``
            is the model's own, at most 8192, or 2560 with an adapter.
        n_threads: CPU threads; ``None`` is what a measurement says is fastest.
        chat_template: a Jinja template in the place of the file's own.
        prefix_cache: where states of static prompts are kept; True is what the environment says, False
            keeps none.
        drafts: whether tokens are guessed and verified several at a time where that is faster: by what
            stands in the prompt and in earlier answers, or by a small model of the same vocabulary if
            this is the path of one. The text is the same but for ties.
        kv_type: how keys and values are stored, ``"f16"`` or ``"q8_0"``, which takes half of the memory;
            ``None`` is 16 bits, or 8 where the model fits only so.
        adapter: a GGUF file of a LoRA adapter that was trained on this very model.
        merge: whether the adapter of a small model is added to its weights, which makes it faster; the
            sums are kept as a file in the folder ``merged`` beside the models.

    Raises:
        ModelFileError: the file is missing, truncated, no GGUF, or llama.cpp cannot load it; or the adapter
            is for another one.
        ModelMemoryError: there is not enough memory for it; nothing was loaded.
        ModelError: the file has no chat template and none is given, or the draft model's vocabulary is
            another one.
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
        drafts: bool | str | Path = True,
        kv_type: KVType | None = None,
        adapter: str | Path | None = None,
        merge: bool = True,
        _weights: Weights | None = None,
    ) -> None:
        from plait.models._batching import Batcher
        from plait.models._engine import Engine
        from plait.models._grammars import Grammars

        if isinstance(prefix_cache, bool):
            chosen = PrefixCache.from_environment() if prefix_cache else None
        else:
            chosen = prefix_cache
        self.path = Path(path)
        self.name = name or self.path.stem
        self.adapter: Adapter | None = None if adapter is None else read_adapter(adapter)
        """The LoRA adapter that is applied, if any."""
        if self.adapter is not None:
            self.adapter.check_prompts()
        merged = _merged(self.path, self.adapter) if merge else None
        if self.adapter is not None:
            context_length = context_length or ADAPTED_CONTEXT
        self._engine: Engine = Engine(
            merged or self.path,
            context_length=context_length,
            n_threads=n_threads,
            kv_type=kv_type,
            adapter=None if merged else self.adapter,
            weights=_weights,
        )
        self._plain = DeferredModel(
            partial(
                LlamaModel,
                self.path,
                name=self.name,
                context_length=context_length,
                n_threads=n_threads,
                chat_template=chat_template,
                prefix_cache=prefix_cache,
                drafts=drafts,
                kv_type=kv_type,
                _weights=None if merged else self._engine.weights,
            ),
            name=self.name,
            context_length=self._engine.context_length,
            grammar_kind=self.grammar_kind,
        )
        self._closed = threading.Event()
        self.context_length = self._engine.context_length
        try:
            self._template = self._chat_template(chat_template)
            if n_threads is None:
                tune_threads(self._engine)
            self._speculation = None if drafts is False else speculation(self._engine, drafts)
        except BaseException:
            self._engine.close()
            raise
        self._grammars = Grammars(self._engine.vocabulary)
        self.prefix_cache: PrefixCache | None = chosen
        """Where states of static prompts are kept, if anywhere; its ``problem`` says why not."""
        self._warm_start = WarmStart(self._engine, chosen) if chosen else None
        self._batcher = Batcher(self._engine, self._warm_start)

    def _chat_template(self, given: str | None) -> ChatTemplate:
        from plait.models._template import ChatTemplate

        source = given or self._engine.chat_template
        if source is None:
            raise ModelError(
                f"{self.name} has no chat template, so it is no chat model; pass one with chat_template=",
                model=self.name,
            )
        vocabulary = self._engine.vocabulary
        return ChatTemplate(
            source,
            bos=vocabulary.special_text("bos"),
            eos=vocabulary.special_text("eos"),
            control_texts=vocabulary.control_texts(),
            model=self.name,
        )

    @property
    def speculation(self) -> SpeculationCounts | None:
        """What drafts did so far: guesses, those that stood, seconds spent and saved; ``None`` without."""
        return None if self._speculation is None else self._speculation.counts

    @property
    def placement(self) -> Placement:
        """Where it runs, and what it takes of memory."""
        return self._engine.placement

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

    @property
    def purpose(self) -> str:
        """What the adapter is for, such as ``"plans"``; empty if there is none."""
        return "" if self.adapter is None else self.adapter.purpose

    def without_adapter(self) -> ChatModel:
        """The model as it was before its adapter, for texts of other kinds than the adapter's.

        It is loaded when it is first used, has a context of its own, shares the weights where the adapter is
        not merged into them, and is closed together with this one. Where there is no adapter it is this very
        model.
        """
        return self if self.adapter is None else self._plain

    def prompt_tokens(
        self, messages: Sequence[Message], *, tools: Sequence[Mapping[str, Any]] = ()
    ) -> list[int]:
        """The prompt that ``messages`` make, as the model reads it."""
        return self._prompt(messages, tools)

    def answer_tokens(self, text: str) -> list[int]:
        """``text`` as the model would write it as an answer, with the token that ends it.

        Control tokens in ``text`` are recognized: it must not be anybody else's.
        """
        tokens = self._engine.vocabulary.tokenize(text)
        start = self._engine.vocabulary.special_text("bos")
        if tokens and start and tokens[0] == self._engine.vocabulary.bos and not text.startswith(start):
            tokens = tokens[1:]
        return [*tokens, self._engine.vocabulary.end_of_turn]

    def n_accepted(self, grammar: Grammar, tokens: Sequence[int]) -> int:
        """How many of ``tokens``, from the first on, an answer under ``grammar`` could begin with.

        Raises:
            GrammarError: the grammar is refused.
        """
        lark = grammar_form(grammar, self.grammar_kind, model=self.name)
        return int(self._grammars.matcher(str(lark)).validate_tokens(list(tokens)))

    def token_bytes(self, tokens: Iterable[int]) -> list[bytes]:
        """The text of each token; control tokens have none."""
        return [self._engine.vocabulary.piece(token) for token in tokens]

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
        self._batcher.notice_cancelled()
        await self._plain.aclose()
        await asyncio.to_thread(self._engine.close)
        if self._speculation is not None:
            await asyncio.to_thread(self._speculation.close)
        if self._warm_start is not None:
            await asyncio.to_thread(self._warm_start.wait)

    async def _answer(self, generation: Generation, options: _Options) -> AsyncGenerator[str, None]:
        """Have the answer decoded in the batcher's thread, and pass the text on as it comes."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[str | Exception | None] = asyncio.Queue()
        left = threading.Event()

        def put(item: str | Exception | None) -> None:
            # A loop that was closed has no reader any more, and `left` will be seen at the next token.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(queue.put_nowait, item)

        def is_cancelled() -> bool:
            return left.is_set() or self._closed.is_set()

        try:
            await asyncio.to_thread(self._submit, generation, options, put, is_cancelled)
            while (item := await queue.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            left.set()
            self._batcher.notice_cancelled()

    def _submit(
        self,
        generation: Generation,
        options: _Options,
        put: Callable[[str | Exception | None], None],
        is_cancelled: Callable[[], bool],
    ) -> None:
        """Give a request to the batcher, and prepare its grammar; the prompt may be computed meanwhile."""
        from plait.models._decoding import Decoding, DecodingOptions

        prompt = self._encoded(options)
        n_room = self.context_length - len(prompt.tokens)
        lark = grammar_form(options.grammar, self.grammar_kind, model=self.name)
        assert lark is None or isinstance(lark, str)
        matcher: Future[Any] = Future()
        if lark is None or self._grammars.is_ready:
            matcher.set_result(None if lark is None else self._grammars.matcher(lark))
        decoding = Decoding(
            self._engine.vocabulary,
            prompt,
            DecodingOptions(
                max_tokens=n_room if options.max_tokens is None else min(options.max_tokens, n_room),
                temperature=options.temperature,
                seed=options.seed,
                stop=options.stop,
                keeps_control_tokens=bool(options.tools),
            ),
            matcher,
            self._speculation,
            generation,
            _CallReader(generation, put).take if options.tools else put,
            is_cancelled,
        )
        self._batcher.submit(decoding)
        if lark is not None and not matcher.done():
            self._grammars.prepare(lark, matcher)

    def _encoded(self, options: _Options) -> Prompt:
        from plait.models._decoding import Prompt
        from plait.models._template import DAILY, STATIC

        if self._closed.is_set():
            raise ModelError(f"{self.name} was closed; load it again", model=self.name)
        text = self._template.render(options.messages, options.tools)
        tokens = self._engine.vocabulary.tokenize(text)
        check_context(len(tokens), options.max_tokens, self.context_length, model=self.name)
        if self._warm_start is None:
            return Prompt(tokens)
        lengths = [
            self._template.recurring_length(text, options.messages, options.tools, mark=mark)
            for mark in (STATIC, DAILY)
        ]
        beginnings = [self._engine.vocabulary.tokenize(text[:length]) if length else [] for length in lengths]
        return Prompt(tokens, [shared_tokens(beginning, tokens) for beginning in beginnings])

    def _prompt(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> list[int]:
        return self._engine.vocabulary.tokenize(self._template.render(messages, tools))


@dataclass(frozen=True, slots=True)
class _Options:
    messages: tuple[Message, ...]
    grammar: Grammar | None
    max_tokens: int | None
    stop: tuple[str, ...]
    seed: int | None
    temperature: float
    tools: tuple[Mapping[str, Any], ...]


def _merged(path: Path, adapter: Adapter | None) -> Path | None:
    """The file of the weights with the adapter in them, if that is what to use."""
    if adapter is None:
        return None
    from plait.models._merge import merged_weights

    return merged_weights(path, adapter)


class _CallReader:
    """Keeps the text back until it is known which of it is calls."""

    def __init__(self, generation: Generation, put: Callable[[str | Exception | None], None]) -> None:
        self._generation = generation
        self._put = put
        self._pieces: list[str] = []

    def take(self, item: str | Exception | None) -> None:
        """What a decoding hands over."""
        if isinstance(item, str):
            self._pieces.append(item)
            return
        if item is None:
            text, calls = calls_in("".join(self._pieces))
            self._generation.tool_calls.extend(calls)
            if text:
                self._put(text)
        self._put(item)


def load_model(model: str | Path, *, context_length: int | None = None, download: bool = True) -> LlamaModel:
    """The local model of that catalog name, or path of a GGUF file or of an adapter.

    A catalog model that is not there yet is downloaded, and so is an adapter's base.

    Raises:
        UnknownModelError, ModelFileError, DownloadError: it cannot be had; the message says what to do.
    """
    from plait.models._find import find_model

    found = find_model(model, download=download)
    return LlamaModel(found.path, name=found.name, context_length=context_length, adapter=found.adapter)
