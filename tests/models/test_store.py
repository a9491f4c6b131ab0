from __future__ import annotations

import hashlib
import json
import os
import struct
from pathlib import Path

import pytest
from filelock import FileLock

from plait.errors import ModelFileError, UnknownModelError
from plait.models import _catalog, _store
from plait.models._specs import ModelSpec

F32, Q4_K = 0, 12
STRING, ARRAY, UINT32 = 8, 9, 4


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def entry(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def tensor(name: str, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    dimensions = struct.pack(f"<{len(shape)}Q", *shape)
    return text(name) + struct.pack("<I", len(shape)) + dimensions + struct.pack("<IQ", kind, offset)


def gguf(
    entries: list[bytes] | None = None,
    tensors: list[bytes] | None = None,
    *,
    version: int = 3,
    n_data: int | None = None,
    alignment: int = 32,
) -> bytes:
    """A GGUF file with a vocabulary and two tensors: 256 F32 (1,024 bytes), 512 Q4_K (288 bytes)."""
    if entries is None:
        words = struct.pack("<IQ", STRING, 3) + text("a") + text("") + text("tokens")
        numbers = struct.pack("<IQ3f", 6, 3, 1.0, 2.0, 3.0)
        entries = [
            entry("general.architecture", STRING, text("tiny")),
            entry("tokenizer.ggml.tokens", ARRAY, words),
            entry("tokenizer.ggml.scores", ARRAY, numbers),
            entry("tiny.block_count", UINT32, struct.pack("<I", 1)),
        ]
    if tensors is None:
        tensors = [tensor("a", (16, 16), F32, 0), tensor("b", (256, 2), Q4_K, 1024)]
        n_data = 1024 + 288 if n_data is None else n_data
    header = struct.pack("<4sIQQ", b"GGUF", version, len(tensors), len(entries))
    header += b"".join(entries) + b"".join(tensors)
    padding = -len(header) % alignment
    return header + bytes(padding) + bytes(n_data or 0)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def make_spec(data: bytes | None, name: str = "tiny") -> ModelSpec:
    return ModelSpec(
        name=name,
        description="a tiny model",
        file_name=f"{name}.gguf",
        size_bytes=None if data is None else len(data),
        sha256=None if data is None else hashlib.sha256(data).hexdigest(),
        licence="Apache-2.0",
        sources=(),
        parameters="1M",
        quantization="Q4_K_M",
    )


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> ModelSpec:
    spec, other = make_spec(gguf()), make_spec(None, "unpinned")
    monkeypatch.setattr(_catalog, "CATALOG", {spec.name: spec, other.name: other})
    return spec


# check_gguf


@pytest.mark.parametrize("version", [2, 3])
def test_a_whole_gguf_file_is_accepted(tmp_path: Path, version: int) -> None:
    _store.check_gguf(write(tmp_path / "m.gguf", gguf(version=version)))


def test_a_file_without_tensors_is_accepted(tmp_path: Path) -> None:
    _store.check_gguf(write(tmp_path / "vocabulary.gguf", gguf(tensors=[])))


def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    whole = gguf()
    for size in range(len(whole)):
        with pytest.raises(ModelFileError, match="cut off"):
            _store.check_gguf(write(tmp_path / "m.gguf", whole[:size]))


def test_one_missing_byte_of_weights_is_named_with_the_numbers(tmp_path: Path) -> None:
    whole = gguf()
    path = write(tmp_path / "m.gguf", whole[:-1])
    with pytest.raises(ModelFileError) as caught:
        _store.check_gguf(path)
    message = str(caught.value)
    assert f"{len(whole) - 1:,} bytes and needs {len(whole):,}" in message
    assert str(path) in message
    assert "download it again" in message


def test_the_alignment_of_the_header_is_respected(tmp_path: Path) -> None:
    entries = [entry("general.alignment", UINT32, struct.pack("<I", 1024))]
    tensors = [tensor("a", (4,), F32, 0)]
    whole = gguf(entries, tensors, n_data=16, alignment=1024)
    assert len(whole) == 1040
    _store.check_gguf(write(tmp_path / "m.gguf", whole))
    with pytest.raises(ModelFileError, match="cut off"):
        _store.check_gguf(write(tmp_path / "m.gguf", whole[:-1]))


def test_weights_of_an_unknown_type_are_not_counted(tmp_path: Path) -> None:
    _store.check_gguf(write(tmp_path / "m.gguf", gguf([], [tensor("a", (1 << 40,), 9999, 0)])))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"<!DOCTYPE html><html>", "no GGUF file: it begins with b'<!DO'"),
        (gguf(version=1), "version 1 is not supported"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "is not supported, only 2 and 3, little-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 62, 0), "claims .* tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 62), "claims .* metadata entries"),
        (gguf([struct.pack("<Q", (1 << 64) - 1)], []), "cut off in the header"),
        (gguf([entry("k", 77, b"")], []), "no metadata type 77"),
        (gguf([entry("k", ARRAY, struct.pack("<IQ", ARRAY, 1))], []), "no metadata type 9"),
        (gguf([entry("k", ARRAY, struct.pack("<IQ", STRING, 1 << 60))], []), "claims .* strings"),
        (gguf([entry("k", ARRAY, struct.pack("<IQ", 10, 1 << 60))], []), "cut off in the header"),
        (gguf([entry("k", ARRAY, struct.pack("<IQQ", STRING, 9, (1 << 64) - 1))], []), "cut off"),
        (gguf([entry("general.alignment", UINT32, struct.pack("<I", 0))], []), "alignment"),
        (gguf([entry("general.alignment", STRING, text("x"))], []), "alignment"),
        (gguf([], [text("t") + struct.pack("<I", 1 << 30)]), "dimensions"),
        (gguf([], [tensor("t", (1 << 63, 1 << 63), F32, (1 << 64) - 1)]), "cut off"),
    ],
)
def test_a_damaged_or_hostile_header_is_refused(tmp_path: Path, data: bytes, problem: str) -> None:
    with pytest.raises(ModelFileError, match=problem):
        _store.check_gguf(write(tmp_path / "m.gguf", data))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"no such file.*name of the catalog"):
        _store.check_gguf(tmp_path / "absent.gguf")
    with pytest.raises(ModelFileError, match="this is a folder"):
        _store.check_gguf(tmp_path)


# The folder


def test_the_folder_is_the_users_choice_or_the_platforms_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PLAIT_MODELS", str(tmp_path))
    assert _store.models_folder() == tmp_path
    monkeypatch.setenv("PLAIT_MODELS", "~/weights")
    assert _store.models_folder() == Path.home() / "weights"
    monkeypatch.setenv("PLAIT_MODELS", "")
    assert _store.models_folder().name == "models"
    assert "plait" in _store.models_folder().parts


def test_an_empty_or_absent_folder_has_no_models(pinned: ModelSpec, tmp_path: Path) -> None:
    assert _store.installed(tmp_path) == []
    assert _store.installed(tmp_path / "absent") == []


def test_installed_tells_what_was_verified_and_what_was_not(pinned: ModelSpec, tmp_path: Path) -> None:
    verified = write(tmp_path / "tiny.gguf", gguf())
    write(tmp_path / "unpinned.gguf", gguf())
    write(tmp_path / "stranger.gguf", gguf())
    assert _store.adopt(pinned, verified)

    first, second = _store.installed(tmp_path)

    assert (first.name, first.path, first.size_bytes, first.verified) == ("tiny", verified, len(gguf()), True)
    assert first.record is not None
    assert (first.record.sha256, first.record.licence) == (pinned.sha256, "Apache-2.0")
    assert (second.name, second.verified, second.record) == ("unpinned", False, None)


def test_the_folder_of_the_environment_is_used_by_default(
    pinned: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAIT_MODELS", str(tmp_path))
    write(tmp_path / "tiny.gguf", gguf())
    assert [model.name for model in _store.installed()] == ["tiny"]
    assert _store.verify("tiny") == tmp_path / "tiny.gguf"
    assert _store.remove("tiny") > 0
    assert _store.installed() == []


# Records


def test_a_file_that_was_touched_after_its_verification_counts_as_unverified(
    pinned: ModelSpec, tmp_path: Path
) -> None:
    path = write(tmp_path / "tiny.gguf", gguf())
    assert _store.adopt(pinned, path)
    assert _store.is_verified(pinned, path)
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 5_000_000_000))
    assert not _store.is_verified(pinned, path)
    assert _store.adopt(pinned, path)
    assert _store.is_verified(pinned, path)


def test_a_record_without_its_file_verifies_nothing(pinned: ModelSpec, tmp_path: Path) -> None:
    path = write(tmp_path / "tiny.gguf", gguf())
    _store.adopt(pinned, path)
    path.unlink()
    assert not _store.is_verified(pinned, path)
    assert not _store.adopt(pinned, path)


@pytest.mark.parametrize("content", ["", "[]", "{}", "null", '{"name": 1}', "\x00", "sha256"])
def test_a_damaged_record_counts_as_none(pinned: ModelSpec, tmp_path: Path, content: str) -> None:
    path = write(tmp_path / "tiny.gguf", gguf())
    (tmp_path / "tiny.gguf.json").write_text(content)
    assert _store.read_record(path) is None
    assert not _store.is_verified(pinned, path)


def test_a_record_with_values_of_other_types_counts_as_none(pinned: ModelSpec, tmp_path: Path) -> None:
    path = write(tmp_path / "tiny.gguf", gguf())
    _store.adopt(pinned, path)
    record_path = tmp_path / "tiny.gguf.json"
    fields = json.loads(record_path.read_text())
    record_path.write_text(json.dumps(fields | {"sha256": 5}))
    assert _store.read_record(path) is None


def test_a_record_of_another_hash_than_the_catalogs_is_not_trusted(pinned: ModelSpec, tmp_path: Path) -> None:
    other = write(tmp_path / "tiny.gguf", gguf() + b"x")
    _store.write_record(pinned, other, hashlib.sha256(other.read_bytes()).hexdigest(), "elsewhere")
    assert not _store.is_verified(pinned, other)
    assert not _store.adopt(pinned, other)


# verify


def test_verify_reports_progress_and_renews_the_record(pinned: ModelSpec, tmp_path: Path) -> None:
    path = write(tmp_path / "tiny.gguf", gguf())
    seen: list[_store.Progress] = []
    assert _store.verify("tiny", tmp_path, seen.append) == path
    assert seen[-1] == _store.Progress(str(path), len(gguf()), len(gguf()), "verify")
    assert _store.is_verified(pinned, path)


def test_verify_finds_one_changed_byte_that_the_cheap_check_cannot_see(
    pinned: ModelSpec, tmp_path: Path
) -> None:
    path = write(tmp_path / "tiny.gguf", gguf())
    _store.adopt(pinned, path)
    stat = path.stat()
    write(path, gguf()[:-1] + b"\x01")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    _store.check_gguf(path)
    assert _store.is_verified(pinned, path)
    with pytest.raises(
        ModelFileError, match=r"its SHA-256 is .* but .* is right; run `plait models remove tiny`"
    ):
        _store.verify("tiny", tmp_path)


def test_verify_uses_the_recorded_hash_where_the_catalog_has_none(pinned: ModelSpec, tmp_path: Path) -> None:
    spec = _catalog.CATALOG["unpinned"]
    path = write(tmp_path / "unpinned.gguf", gguf())
    with pytest.raises(ModelFileError, match="hash is not known"):
        _store.verify("unpinned", tmp_path)
    _store.write_record(spec, path, hashlib.sha256(gguf()).hexdigest(), "the hub")
    assert _store.verify("unpinned", tmp_path) == path
    write(path, gguf() + b"x")
    with pytest.raises(ModelFileError, match="is right"):
        _store.verify("unpinned", tmp_path)


def test_verify_of_what_is_not_there_says_how_to_get_it(pinned: ModelSpec, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"no such file; run `plait models pull tiny`") as caught:
        _store.verify("tiny", tmp_path)
    assert caught.value.model == "tiny"
    with pytest.raises(UnknownModelError):
        _store.verify("nothing", tmp_path)


# remove


def test_remove_deletes_the_file_its_record_and_partial_downloads(pinned: ModelSpec, tmp_path: Path) -> None:
    path = write(tmp_path / "tiny.gguf", gguf())
    _store.adopt(pinned, path)
    record_size = (tmp_path / "tiny.gguf.json").stat().st_size
    write(tmp_path / "tiny.gguf.part", b"12345")
    (tmp_path / "tiny.gguf.wheels").mkdir()
    write(tmp_path / "tiny.gguf.wheels" / "a.whl", b"123")
    (tmp_path / "merged").mkdir()
    write(tmp_path / "merged" / "tiny-0123.gguf", b"1234567")
    write(tmp_path / "merged" / "other-0123.gguf", b"stays")
    write(tmp_path / "unpinned.gguf", b"stays")
    assert _store.remove("tiny", tmp_path) == len(gguf()) + record_size + 5 + 3 + 7
    left = {file.name for file in tmp_path.rglob("*.*")} - {"tiny.gguf.lock"}
    assert left == {"unpinned.gguf", "other-0123.gguf"}


def test_remove_of_what_is_not_there_frees_nothing(pinned: ModelSpec, tmp_path: Path) -> None:
    assert _store.remove("tiny", tmp_path) == 0
    assert _store.remove("tiny", tmp_path / "absent") == 0
    assert not (tmp_path / "absent").exists()
    with pytest.raises(UnknownModelError):
        _store.remove("nothing", tmp_path)


def test_a_model_that_is_being_downloaded_cannot_be_removed(pinned: ModelSpec, tmp_path: Path) -> None:
    part = write(tmp_path / "tiny.gguf.part", b"12345")
    with (
        FileLock(tmp_path / "tiny.gguf.lock"),
        pytest.raises(ModelFileError, match="being downloaded right now"),
    ):
        _store.remove("tiny", tmp_path)
    assert part.exists()
