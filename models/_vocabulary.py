"""The tokens of a model: text to tokens and back."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from plait.errors import ModelError

_SPACE = "\u2581"  # what SentencePiece writes for a space


class Vocabulary:
    """The vocabulary of a loaded model.

    Args:
        lib: the module ``llama_cpp``.
        vocab: llama.cpp's pointer; it lives as long as the model.
    """

    def __init__(self, lib: Any, vocab: Any) -> None:
        self._lib = lib
        self.pointer = vocab
        """llama.cpp's own."""
        self.n_vocab: int = lib.llama_vocab_n_tokens(vocab)
        """The number of tokens."""

    @property
    def bos(self) -> int:
        """The token that begins a prompt; -1 if there is none."""
        return int(self._lib.llama_vocab_bos(self.pointer))

    @property
    def end_of_turn(self) -> int:
        """The token that ends an answer; in files of chat models that is the end of the text, too."""
        end = int(self._lib.llama_vocab_eos(self.pointer))
        return end if end >= 0 else int(self._lib.llama_vocab_eot(self.pointer))

    def special_text(self, kind: str) -> str:
        """The text of the ``"bos"`` or ``"eos"`` token; empty if there is none."""
        token = getattr(self._lib, f"llama_vocab_{kind}")(self.pointer)
        return self.piece(token, special=True).decode(errors="replace") if token >= 0 else ""

    def control_texts(self) -> Iterator[str]:
        """The texts of all control tokens, such as ``<|im_end|>``."""
        for token in range(self.n_vocab):
            if self._lib.llama_vocab_get_attr(self.pointer, token) & self._lib.LLAMA_TOKEN_ATTR_CONTROL:
                text = self.piece(token, special=True).decode(errors="replace")
                if len(text) > 1:
                    yield text

    def tokenize(self, text: str) -> list[int]:
        """The tokens of ``text``, in which control tokens are recognized.

        Raises:
            ModelError: the vocabulary has no tokens for a character of it, nor for the character's bytes.
        """
        self._check_bytes(text)
        data = text.encode()
        size = len(data) + 16
        while True:
            tokens = (ctypes.c_int32 * size)()
            n = self._lib.llama_tokenize(
                self.pointer, data, len(data), tokens, size, self._adds_bos(text), True
            )
            if n >= 0:
                return list(tokens[:n])
            size = -n

    def _check_bytes(self, text: str) -> None:
        """Refuse what llama.cpp would end the process at."""
        if not self._missing_bytes:
            return
        for character in {_SPACE, *text.replace(" ", _SPACE)}:  # a space may be put before the text
            if character not in self._texts and not self._missing_bytes.isdisjoint(character.encode()):
                raise ModelError(
                    f"this model's vocabulary has no token for {character!r}, nor for single bytes; "
                    "use a model whose tokenizer falls back on bytes"
                )

    @cached_property
    def _texts(self) -> frozenset[str]:
        """The tokens' texts, as the file has them."""
        texts = (self._lib.llama_vocab_get_text(self.pointer, token) for token in range(self.n_vocab))
        return frozenset(text.decode(errors="replace") for text in texts)

    @cached_property
    def _missing_bytes(self) -> frozenset[int]:
        """Bytes that a tokenizer of SentencePiece's kind cannot fall back on."""
        if self._lib.llama_vocab_type(self.pointer) != self._lib.LLAMA_VOCAB_TYPE_SPM:
            return frozenset()
        return frozenset(n for n in range(256) if not {f"<0x{n:02X}>", chr(n)} & self._texts)

    def _adds_bos(self, text: str) -> bool:
        if not self._lib.llama_vocab_get_add_bos(self.pointer):
            return False
        return not text.startswith(self.special_text("bos") or "\0")

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of one token; control tokens have some only if ``special``."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            n = self._lib.llama_token_to_piece(self.pointer, token, buffer, size, 0, special)
            if n >= 0:
                return buffer.raw[:n]
            size = -n

    @cached_property
    def pieces(self) -> list[bytes]:
        """The bytes of every token; takes up to a fifth of a second, once."""
        return [self.piece(token) for token in range(self.n_vocab)]

    def is_end(self, token: int) -> bool:
        """Whether ``token`` ends an answer."""
        return bool(self._lib.llama_vocab_is_eog(self.pointer, token))
