import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.errors import ConfigurationError
from plait.models._prefix_cache import DEFAULT_MAX_BYTES, Fingerprint, PrefixCache

STATE = bytes(range(256)) * 40
KEY = Fingerprint.of(["model", "engine"], [1, 2, 3])


@pytest.fixture
def cache(tmp_path: Path) -> PrefixCache:
    return PrefixCache(tmp_path / "prefixes")


def key(*tokens: int) -> Fingerprint:
    return Fingerprint.of(["model", "engine"], tokens)


def age(cache: PrefixCache, fingerprint: Fingerprint, seconds: int) -> None:
    path = cache.path(fingerprint)
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def test_what_was_stored_is_loaded_by_another_cache_on_the_folder(cache: PrefixCache) -> None:
    assert cache.load(KEY) is None
    assert cache.store(KEY, STATE)
    assert PrefixCache(cache.folder).load(KEY) == STATE
    assert KEY in cache
    assert key(1, 2) not in cache
    assert [path.suffix for path in cache.folder.iterdir()] == [".plaitkv"]


def test_a_fingerprint_depends_on_model_engine_and_every_token() -> None:
    others = [
        Fingerprint.of(["model", "engine"], [1, 2, 4]),
        Fingerprint.of(["model", "engine"], [1, 2]),
        Fingerprint.of(["model 2", "engine"], [1, 2, 3]),
        Fingerprint.of(["model", "engine 2"], [1, 2, 3]),
        Fingerprint.of(["modelengine"], [1, 2, 3]),
        Fingerprint.of(["mode", "lengine"], [1, 2, 3]),
    ]
    assert len({KEY.digest, *(other.digest for other in others)}) == 7
    assert Fingerprint.of(["model", "engine"], (1, 2, 3)) == KEY


@given(data=st.data())
def test_any_damaged_byte_is_noticed_and_the_file_deleted(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cache = PrefixCache(tmp_path_factory.mktemp("prefixes"))
    cache.store(KEY, b"some state")
    path = cache.path(KEY)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    assert cache.load(KEY) is None
    assert not path.exists()
    assert cache.store(KEY, b"some state")
    assert cache.load(KEY) == b"some state"


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:20],
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda content: content + b"\0",
        lambda content: b"GGUF" + content[4:],
        lambda content: os.urandom(len(content)),
    ],
    ids=["empty", "half a header", "a byte short", "half", "a byte too long", "foreign", "noise"],
)
def test_a_partial_or_foreign_file_is_deleted(cache: PrefixCache, damage: Callable[[bytes], bytes]) -> None:
    cache.store(KEY, STATE)
    path = cache.path(KEY)
    path.write_bytes(damage(path.read_bytes()))
    assert cache.load(KEY) is None
    assert not path.exists()


def test_a_state_under_the_name_of_another_is_deleted(cache: PrefixCache) -> None:
    for other in (Fingerprint.of(["another model", "engine"], [1, 2, 3]), key(1, 2, 4), key(1, 2)):
        cache.store(other, STATE)
        cache.path(other).rename(cache.path(KEY))
        assert cache.load(KEY) is None
        assert not cache.path(KEY).exists()


def test_the_least_recently_used_state_makes_room(tmp_path: Path) -> None:
    cache = PrefixCache(tmp_path, max_bytes=3 * (len(STATE) + 200))
    for n in (1, 2, 3):
        cache.store(key(n), STATE)
        age(cache, key(n), 100 - n)
    assert cache.load(key(1)) == STATE
    cache.store(key(4), STATE)
    assert [key(n) in cache for n in (1, 2, 3, 4)] == [True, False, True, True]


def test_a_state_that_is_larger_than_the_limit_pushes_nothing_out(tmp_path: Path) -> None:
    cache = PrefixCache(tmp_path, max_bytes=len(STATE) + 200)
    cache.store(KEY, STATE)
    assert not cache.store(key(4), STATE * 2)
    assert KEY in cache
    assert cache.problem is None


def test_files_that_are_not_the_caches_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_bytes(STATE)
    cache = PrefixCache(tmp_path, max_bytes=len(STATE) + 200)
    for n in (1, 2):
        cache.store(key(n), STATE)
        age(cache, key(n), 100 - n)
    assert (tmp_path / "letter.txt").read_bytes() == STATE
    assert key(1) not in cache


def test_what_a_killed_process_left_half_written_is_cleared_away_later(tmp_path: Path) -> None:
    left, fresh = tmp_path / "a.plaitkv-part", tmp_path / "b.plaitkv-part"
    for part in (left, fresh):
        part.write_bytes(STATE)
    os.utime(left, (left.stat().st_mtime - 4000,) * 2)
    PrefixCache(tmp_path).store(KEY, STATE)
    assert not left.exists()
    assert fresh.exists()


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_folder_that_takes_no_files_is_still_read_and_no_error(
    cache: PrefixCache, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.store(KEY, STATE)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    monkeypatch.setattr("os.utime", refuse)
    assert not cache.store(key(4), STATE)
    assert str(cache.folder) in (cache.problem or "")
    assert os.strerror(code) in (cache.problem or "")
    assert cache.load(KEY) == STATE
    monkeypatch.undo()
    assert not cache.store(key(4), STATE)  # it asks once a process


def test_a_write_that_fails_half_way_leaves_nothing(cache: PrefixCache) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        assert not cache.store(KEY, STATE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert cache.problem is not None
    assert list(cache.folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    cache = PrefixCache(tmp_path / "file" / "prefixes")
    assert cache.load(KEY) is None
    assert KEY not in cache
    assert not cache.store(KEY, STATE)
    assert cache.problem is not None


def test_readers_never_see_half_a_state_while_others_write_and_evict(tmp_path: Path) -> None:
    states = {key(n): bytes([n]) * 100_000 for n in range(4)}
    caches = [PrefixCache(tmp_path, max_bytes=250_000) for _ in range(4)]
    wrong: list[Fingerprint] = []
    start = threading.Barrier(len(caches))

    def use(cache: PrefixCache) -> None:
        start.wait()
        for _ in range(15):
            for fingerprint, state in states.items():
                found = cache.load(fingerprint)
                if found is None:
                    cache.store(fingerprint, state)
                elif found != state:
                    wrong.append(fingerprint)

    threads = [threading.Thread(target=use, args=(cache,)) for cache in caches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert [cache.problem for cache in caches] == [None] * 4
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 250_000


def test_the_environment_chooses_folder_and_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PLAIT_PREFIX_CACHE", str(tmp_path))
    monkeypatch.setenv("PLAIT_PREFIX_CACHE_BYTES", "1000000")
    chosen = PrefixCache.from_environment()
    assert chosen is not None
    assert (chosen.folder, chosen.max_bytes) == (tmp_path, 1_000_000)
    monkeypatch.setenv("PLAIT_PREFIX_CACHE", "Off")
    assert PrefixCache.from_environment() is None
    monkeypatch.delenv("PLAIT_PREFIX_CACHE")
    monkeypatch.delenv("PLAIT_PREFIX_CACHE_BYTES")
    default = PrefixCache.from_environment()
    assert default is not None
    assert (default.folder.name, default.max_bytes) == ("prefixes", DEFAULT_MAX_BYTES)


@pytest.mark.parametrize("limit", ["2GB", "-1", "0", "1.5"])
def test_a_limit_that_is_no_number_of_bytes_is_refused(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setenv("PLAIT_PREFIX_CACHE", "somewhere")
    monkeypatch.setenv("PLAIT_PREFIX_CACHE_BYTES", limit)
    with pytest.raises(ConfigurationError, match=f"PLAIT_PREFIX_CACHE_BYTES is '{limit}'"):
        PrefixCache.from_environment()
    with pytest.raises(ConfigurationError, match="positive"):
        PrefixCache("somewhere", max_bytes=0)
