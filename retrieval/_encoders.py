"""Encoders of texts: MiniLM and its like in numpy, any model of sentence-transformers, and hashed words."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from plait.errors import ConfigurationError, MissingExtraError, ModelFileError
from plait.models import DEFAULT_ENCODER, ENCODERS, Progress, file_sha256, find_encoder, pull
from plait.retrieval._bert import load_bert, normalized
from plait.retrieval._blas import one_thread
from plait.retrieval._types import Vectors

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from plait.retrieval._bert import Bert

_TOKENS_AT_ONCE = 2048  # of a batch, padding included; more is no faster and takes more memory
_FEW_TOKENS = 512  # for which one thread is enough
_CHARS_AT_FIRST = 16  # for each token that is read; a token of prose has four or five
_WORD = re.compile(r"\w+")


class BertEncoder:
    """A sentence encoder of BERT's kind with mean pooling, such as MiniLM, computed in numpy.

    Nothing is loaded before the first text is encoded.

    Args:
        folder: a folder with ``model.safetensors``, ``config.json`` and ``tokenizer.json``, as on the hub.
        max_tokens: how much of a text is read; what comes after is ignored.

    Raises:
        ConfigurationError: ``max_tokens`` leaves no room for a word.
        ModelFileError: a file is missing.
    """

    def __init__(self, folder: str | os.PathLike[str], *, max_tokens: int = 256) -> None:
        if max_tokens < 3:  # two of them enclose the text
            raise ConfigurationError(f"max_tokens is {max_tokens}, too few for a word; give 3 or more")
        self.folder = Path(folder)
        self.max_tokens = max_tokens
        self._lock = threading.Lock()
        self._loaded: tuple[Bert, Tokenizer] | None = None
        for name in ("model.safetensors", "config.json", "tokenizer.json"):
            if not (self.folder / name).is_file():
                raise ModelFileError(
                    f"{self.folder / name} is not there; give a folder with an encoder's weights, "
                    "configuration and tokenizer in the hub's formats",
                    model=str(self.folder),
                )

    def __repr__(self) -> str:
        return f"BertEncoder({str(self.folder)!r})"

    @cached_property
    def fingerprint(self) -> str:
        """Hashes of weights and tokenizer, and how much of a text is read."""
        files = [file_sha256(self.folder / name)[:16] for name in ("model.safetensors", "tokenizer.json")]
        return f"bert {' '.join(files)} {self.max_tokens}"

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""
        return self._load()[0].dimension

    def encode(self, texts: Sequence[str], /) -> Vectors:
        """The vectors of ``texts``, float32 of shape ``(len(texts), dimension)``, each of length 1.

        Raises:
            MissingExtraError: ``safetensors`` or ``tokenizers`` is not installed.
            ModelFileError: a file of the encoder cannot be used.
        """
        bert, tokenizer = self._load()
        tokens = [self._tokens(tokenizer, clean(text)) for text in texts]
        vectors = np.empty((len(texts), bert.dimension), np.float32)
        is_small = sum(len(text) for text in tokens) <= _FEW_TOKENS
        with one_thread() if is_small else nullcontext():
            for batch in _batches([len(text) for text in tokens]):
                vectors[batch] = bert.mean_vectors([tokens[i] for i in batch])
        return vectors

    def _tokens(self, tokenizer: Tokenizer, text: str) -> list[int]:
        """The tokens that are read: those of the text's beginning, without looking at all of a long one."""
        n_chars = _CHARS_AT_FIRST * self.max_tokens
        while True:
            end = text.rfind(" ", 0, n_chars) if len(text) > n_chars else -1
            tokens = tokenizer.encode(text if end < 0 else text[:end]).ids
            if end < 0 or len(tokens) >= self.max_tokens:
                return tokens
            n_chars *= 4

    def _load(self) -> tuple[Bert, Tokenizer]:
        with self._lock:
            if self._loaded is None:
                bert = load_bert(self.folder / "model.safetensors", self.folder / "config.json")
                max_tokens = min(self.max_tokens, bert.config.max_positions)
                self._loaded = bert, _load_tokenizer(self.folder / "tokenizer.json", max_tokens)
            return self._loaded


class SentenceTransformerEncoder:
    """Any model of sentence-transformers. Needs the extra ``sentence-transformers``.

    Args:
        model: its name on the hub or its folder, or a ``SentenceTransformer``.
        options: for ``SentenceTransformer``, where it is made here; e.g. ``device="cuda"``.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
    """

    def __init__(self, model: Any, **options: Any) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingExtraError("sentence-transformers", "sentence-transformers") from error
        is_name = isinstance(model, (str, os.PathLike))
        self._model = SentenceTransformer(os.fspath(model), **options) if is_name else model
        self._lock = threading.Lock()  # models of torch may hold state while they run

    @cached_property
    def fingerprint(self) -> str:
        """A hash over all weights, and how much of a text is read."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self._model.state_dict().items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(tensor.float().cpu().numpy()).tobytes())
        return f"sentence-transformers {digest.hexdigest()[:32]} {self._model.max_seq_length}"

    @cached_property
    def dimension(self) -> int:
        """How many numbers a vector has."""
        return int(self.encode([""]).shape[1])

    def encode(self, texts: Sequence[str], /) -> Vectors:
        """The vectors of ``texts``, float32 of shape ``(len(texts), dimension)``, each of length 1."""
        with self._lock:
            found = self._model.encode(
                [clean(text) for text in texts], convert_to_numpy=True, show_progress_bar=False
            )
        if not len(texts):
            return np.empty((0, self.dimension), np.float32)
        return normalized(np.asarray(found, np.float32))


class HashingEncoder:
    """Words, hashed to places in a vector: needs no model, and finds only what shares words.

    For tests, and for trying out what is built on encoders.

    Args:
        dimension: how many numbers a vector has.

    Raises:
        ConfigurationError: ``dimension`` is not positive.
    """

    def __init__(self, dimension: int = 256) -> None:
        if dimension < 1:
            raise ConfigurationError(f"the dimension is {dimension}; give 1 or more")
        self.dimension = dimension

    @property
    def fingerprint(self) -> str:
        """Its kind and its dimension."""
        return f"hashed words {self.dimension}"

    def encode(self, texts: Sequence[str], /) -> Vectors:
        """The vectors of ``texts``, float32 of shape ``(len(texts), dimension)``, each of length 1."""
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in _WORD.findall(clean(text).casefold()) or [""]:
                digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
                place = int.from_bytes(digest, "little")
                row[(place >> 1) % self.dimension] += 1 if place & 1 else -1
            if not row.any():  # words that cancel each other out
                row[0] = 1
        return normalized(vectors)


def load_encoder(
    name: str | os.PathLike[str] = DEFAULT_ENCODER,
    *,
    download: bool = True,
    progress: Callable[[Progress], None] | None = None,
) -> BertEncoder:
    """The encoder that a user means: a name of the catalog, or a folder for :class:`BertEncoder`.

    Args:
        name: which one.
        download: fetch one of the catalog that is not in the models folder.
        progress: called while it is fetched.

    Raises:
        UnknownModelError: neither a name of the catalog nor a folder.
        ModelFileError: a file is missing, and ``download`` is false.
        DownloadError: it cannot be fetched.
    """
    if name not in ENCODERS and Path(name).is_dir():
        return BertEncoder(name)
    spec = find_encoder(os.fspath(name))
    if download:
        return BertEncoder(pull(spec.name, progress=progress).parent, max_tokens=spec.max_tokens)
    from plait.models import models_folder

    return BertEncoder(models_folder() / spec.name, max_tokens=spec.max_tokens)


def clean(text: str) -> str:
    """``text`` without halves of surrogate pairs, which no tokenizer takes."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of texts of similar length, in batches of a limited size."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[i] > _TOKENS_AT_ONCE:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _load_tokenizer(path: Path, max_tokens: int) -> Tokenizer:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtraError("tokenizers", "retrieval") from error
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more exact
        raise ModelFileError(f"{path} is no tokenizer ({error}); fetch it again", model=str(path)) from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer
