"""Grammars for llguidance, compiled once each for one vocabulary."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from typing import Any

from plait.errors import GrammarError, MissingExtraError
from plait.models._vocabulary import Vocabulary

_N_KEPT = 4  # those of tools that say kinds are for one request each


def first_line_of_error(matcher: Any) -> str:
    """What a ``matcher`` of llguidance says is wrong, without the grammar and state that it adds."""
    return str(matcher.get_error()).strip().partition("\n")[0]


class Grammars:
    """The grammars that a model's answers obey.

    Args:
        vocabulary: of the model.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._table: Any = None
        self._lock = threading.Lock()
        self._compiled: OrderedDict[str, Any] = OrderedDict()

    @property
    def is_ready(self) -> bool:
        """Whether the vocabulary has been read, which takes up to a second."""
        return self._table is not None

    def matcher(self, lark: str) -> Any:
        """The matcher at the beginning of a text.

        Raises:
            GrammarError: llguidance refuses the grammar, or the vocabulary; says why.
            MissingExtraError: llguidance is not installed.
        """
        with self._lock:
            if lark not in self._compiled:
                self._compiled[lark] = self._compile(lark)
            self._compiled.move_to_end(lark)
            if len(self._compiled) > _N_KEPT:
                self._compiled.popitem(last=False)
            return self._compiled[lark].deep_copy()

    def prepare(self, lark: str, matcher: Future[Any]) -> None:
        """Set ``matcher``, or the error in the place of it."""
        try:
            matcher.set_result(self.matcher(lark))
        except Exception as error:  # noqa: BLE001  (raised again where the matcher is wanted)
            matcher.set_exception(error)

    def _compile(self, lark: str) -> Any:
        if self._table is None:
            self._table = self._read_vocabulary()
        from llguidance import LLMatcher

        matcher = LLMatcher(self._table, LLMatcher.grammar_from_lark(lark), log_level=0)
        if matcher.is_error():
            raise GrammarError(f"llguidance refuses the grammar: {matcher.get_error().strip()}")
        return matcher

    def _read_vocabulary(self) -> Any:
        try:
            from llguidance.llamacpp import lltokenizer_from_vocab
        except ImportError as error:
            raise MissingExtraError("llguidance", "local") from error
        try:
            return lltokenizer_from_vocab(self._vocabulary.pointer)
        except ValueError as error:
            raise GrammarError(
                f"llguidance cannot read this model's vocabulary: {error}; "
                "use a model whose tokenizer falls back on bytes, or no grammar"
            ) from error
