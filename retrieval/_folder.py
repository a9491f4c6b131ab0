"""An index as a folder: ``index.json``, and the files that it names by their hashes.

A change writes files of new names, then puts a new ``index.json`` in the place of the old one in one step,
then deletes what no longer is named. So a reader sees the old index or the new one; one whose files go while
it reads them begins again. Writers take turns by a lock.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from itertools import starmap
from pathlib import Path
from typing import Any

import numpy as np

from plait.errors import ConfigurationError, ToolIndexError
from plait.retrieval._bm25 import BM25
from plait.retrieval._centroids import centroids_of
from plait.retrieval._entries import Entries, ToolEntry
from plait.retrieval._manifest import MANIFEST, Manifest, check_ours, damaged, our_files, read_manifest
from plait.retrieval._nearest import HNSW, Graph, GraphError, has_faiss, restored
from plait.retrieval._parts import IndexParts
from plait.retrieval._refiner import ToolRefiner
from plait.retrieval._second_stage import SecondStage
from plait.retrieval._tool2vec import Tool2Vec
from plait.retrieval._types import Encoder, Usage, Vectors

_LOCK = ".lock"
_LOCK_TIMEOUT_S = 600.0
_HEADER_BYTES = 1024  # in which the header of a ``.npy`` file ends by far
_READS = 5  # of a folder that is being written to all the time
_BROKEN = (ValueError, TypeError, KeyError, IndexError, EOFError, zipfile.BadZipFile)


def save_index(index: Tool2Vec, folder: str | os.PathLike[str]) -> None:
    """Write ``index`` into ``folder``, in the place of the one that may be there.

    Raises:
        ToolIndexError: something else than an index is there, or another process does not stop writing.
        ConfigurationError: the folder cannot be written to.
    """
    with locked(folder) as path:
        write_index(index, path)


def load_index(folder: str | os.PathLike[str], encoder: Encoder | None = None) -> Tool2Vec:
    """The index in ``folder``. Loads no encoder, and can be searched by words without one.

    Args:
        folder: where :func:`save_index` has put it.
        encoder: the one that made it; if none is given, the default one is loaded when it is first needed.

    Raises:
        ToolIndexError: there is none, it is damaged or of another version, or ``encoder`` is another one.
    """
    path = Path(folder)
    for _ in range(_READS):
        manifest = read_manifest(path)
        try:
            return _load(path, manifest, encoder)
        except FileNotFoundError as error:
            if read_manifest(path) == manifest:
                raise damaged(path, f"{Path(error.filename).name} is missing") from error
    raise ToolIndexError(f"the index in {path} changed {_READS} times while it was read; try again")


def update_index(
    folder: str | os.PathLike[str], change: Callable[[Tool2Vec], Tool2Vec], encoder: Encoder | None = None
) -> Tool2Vec:
    """Change the index in ``folder``, while no other process can.

    Args:
        folder: where it is.
        change: gives the new index from the old one.
        encoder: as for :func:`load_index`.

    Returns:
        The new index.

    Raises:
        ToolIndexError: it cannot be used, or another process does not stop writing.
        ConfigurationError: the folder cannot be written to.
    """
    read_manifest(Path(folder))  # so that no folder is made where there is none
    with locked(folder) as path:
        old = load_index(path, encoder)
        new = change(old)
        if new is not old:
            write_index(new, path)
    return new


@contextmanager
def locked(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Hold the lock on the folder, which is made if it is not there.

    Raises:
        ToolIndexError: another process has it and does not let go.
        ConfigurationError: the folder cannot be written to.
    """
    from filelock import FileLock, Timeout

    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / _LOCK)
        lock.acquire(timeout=_LOCK_TIMEOUT_S)
    except Timeout as error:
        raise ToolIndexError(
            f"another process has been writing to the index in {path} for {_LOCK_TIMEOUT_S:g} s; stop it"
        ) from error
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield path
    finally:
        lock.release()


def write_index(index: Tool2Vec, path: Path) -> None:
    """As :func:`save_index`, by who holds the lock."""
    check_ours(path)
    try:
        named: dict[str, str] = {}
        for part, (suffix, content) in _contents(index).items():
            named[part] = f"{part}-{hashlib.sha256(content).hexdigest()[:16]}.{suffix}"
            if not _has(path / named[part], content):
                _write(path / named[part], content)
        tools = hashlib.sha256(
            "\0".join(text for tool in index.entries.tools for text in (tool.name, tool.text)).encode()
        )
        manifest = Manifest(
            encoder=index.encoder_fingerprint,
            tools=tools.hexdigest()[:32],
            n_tools=len(index),
            n_usages=len(index.usages),
            dimension=index.parts.vectors.shape[1],
            files=named,
        )
        _write(path / MANIFEST, manifest.dump())
    except OSError as error:
        raise _unwritable(path, error) from error
    for file in our_files(path):
        if file.name not in named.values():
            with suppress(OSError):  # who reads it on a system that keeps it is not disturbed
                file.unlink()


def _contents(index: Tool2Vec) -> dict[str, tuple[str, bytes]]:
    """For each part the suffix and the content of its file."""
    entries, parts = index.entries, index.parts
    words = {
        "starts": parts.bm25.starts,
        "terms": parts.bm25.terms,
        "counts": parts.bm25.counts,
        "vocabulary": np.frombuffer("\n".join(parts.bm25.vocabulary).encode(), np.uint8),
    }
    found = {
        "tools": ("jsonl", _lines((tool.name, tool.text) for tool in entries.tools)),
        "usages": ("jsonl", _lines({"query": u.query, "tools": u.tools} for u in entries.usages)),
        "vectors": ("npy", _array(parts.vectors)),
        "words": ("npz", _arrays(words)),
    }
    if (stage := parts.second_stage) is not None:
        found["learnt"] = ("npz", _arrays(stage.refiner.arrays()))
        found["learnt_vectors"] = ("npy", _array(stage.mlc))
    for name, graph in (("text_graph", parts.text_graph), ("centroid_graph", parts.centroid_graph)):
        if graph is not None:
            with suppress(GraphError):  # without it, all vectors are compared
                found[name] = ("npy", _array(graph.graph.dump()))
                found[f"{name}_rows"] = ("npy", _array(graph.rows))
    return found


def _load(path: Path, manifest: Manifest, encoder: Encoder | None) -> Tool2Vec:
    try:
        entries = Entries(
            tuple(starmap(ToolEntry, _read_lines(_read(path, manifest, "tools")))),
            tuple(Usage(u["query"], tuple(u["tools"])) for u in _read_lines(_read(path, manifest, "usages"))),
        )
        vectors: Vectors = _read_array(_read(path, manifest, "vectors"))
        if vectors.shape != (len(entries.texts), manifest.dimension) or vectors.dtype != np.float32:
            raise ValueError("vectors and texts do not go together")
        bm25 = _read_words(_read(path, manifest, "words"))
        if bm25.n_documents != len(entries.tools):
            raise ValueError("words and tools do not go together")
        parts = IndexParts(
            vectors,
            bm25,
            _graph(path, manifest, "text_graph", len(vectors), lambda: vectors),
            _graph(
                path, manifest, "centroid_graph", len(entries.tools), lambda: centroids_of(entries, vectors)
            ),
            _second_stage(path, manifest, (bm25.n_documents, manifest.dimension)),
        )
    except _BROKEN as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error
    return Tool2Vec(entries, parts, encoder_fingerprint=manifest.encoder, encoder=encoder)


def _read(path: Path, manifest: Manifest, part: str) -> memoryview:
    """The content of a part's file, as it was written.

    It is in an array's memory because numpy asks the system for large pages, which are filled in a third of
    the time, and searched faster later.

    Raises:
        FileNotFoundError: it is not there.
        ToolIndexError: it is damaged.
    """
    try:
        name = manifest.files[part]
        data = np.fromfile(path / name, np.uint8).data.toreadonly()
    except KeyError as error:
        raise damaged(path, f"{MANIFEST} names no {part}") from error
    except FileNotFoundError:
        raise
    except OSError as error:
        raise damaged(path, f"{name} cannot be read: {error.strerror or error}") from error
    if hashlib.sha256(data).hexdigest()[:16] not in name:
        raise damaged(path, f"{name} has other bytes than were written")
    return data


def _read_words(data: memoryview) -> BM25:
    with np.load(io.BytesIO(data), allow_pickle=False) as words:
        vocabulary = words["vocabulary"].tobytes().decode()
        return BM25(
            tuple(vocabulary.split("\n")) if vocabulary else (),
            words["starts"],
            words["terms"],
            words["counts"],
        )


def _second_stage(path: Path, manifest: Manifest, shape: tuple[int, int]) -> SecondStage | None:
    if "learnt" not in manifest.files:
        return None
    vectors = _read_array(_read(path, manifest, "learnt_vectors"))
    if vectors.shape != shape:
        raise ValueError("learnt vectors and tools do not go together")
    with np.load(io.BytesIO(_read(path, manifest, "learnt")), allow_pickle=False) as arrays:
        return SecondStage(vectors, ToolRefiner.of(arrays))


def _graph(
    path: Path, manifest: Manifest, part: str, n_rows: int, vectors: Callable[[], Vectors]
) -> HNSW | None:
    """The graph that the index has, if FAISS can read it; only its rows are read before it is needed."""
    if part not in manifest.files or not has_faiss():
        return None

    def load() -> Any:
        try:
            return restored(_read_array(_read(path, manifest, part)))
        except (*_BROKEN, ToolIndexError) as error:
            raise ValueError(str(error)) from error

    rows = _read_array(_read(path, manifest, f"{part}_rows"))
    if rows.max(initial=-1) >= n_rows:
        raise ValueError("graph and vectors do not go together")
    return HNSW(Graph(load, len(rows)), rows, n_rows, cache(vectors))


def _lines(values: Any) -> bytes:
    return "".join(json.dumps(value, ensure_ascii=True) + "\n" for value in values).encode()


def _read_lines(data: memoryview) -> Any:
    """The values of JSON lines; read at once, which is faster by far."""
    return json.loads(b"[" + b",".join(data.tobytes().splitlines()) + b"]")


def _array(values: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()


def _read_array(data: memoryview) -> Any:
    """The array in the bytes of a ``.npy`` file, as a view of these."""
    file = io.BytesIO(data[:_HEADER_BYTES])
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("an array of another version of the format")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if is_fortran or dtype.hasobject:
        raise ValueError("an array of another layout")
    return np.frombuffer(data, dtype, offset=file.tell()).reshape(shape)


def _arrays(values: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in values.items():
            # A fixed time, so that the same arrays are the same bytes.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), _array(array))
    return buffer.getvalue()


def _has(path: Path, content: bytes) -> bool:
    return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content


def _write(path: Path, content: bytes) -> None:
    """Put a file there in one step, by who holds the lock."""
    temporary = path.with_name(f"{path.name}.new")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _unwritable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"the index cannot be written to {path}: {error.strerror or error}; choose another folder"
    )
