"""Files of the Hugging Face hub, and of its mirrors."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin, urlsplit

from plait.models._job import Job, SourceError, check_space, read_state, size_of, take_if_right, write
from plait.models._specs import FileSpec, HubSource
from plait.models._store import adopt, beside, write_json

if TYPE_CHECKING:
    import httpx

_HUB = "https://huggingface.co"
_READ_TIMEOUT_S = 30.0
_MAX_ATTEMPTS = 20
_MAX_REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class _Published:
    """What the hub says about a file."""

    sha256: str | None
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class _PartState:
    """What a ``.part`` file is a part of; stands beside it as ``.part.json``."""

    sha256: str
    etag: str | None


@dataclass(frozen=True, slots=True)
class _Transfer:
    """One file on its way: from where, to where, and what it must become."""

    job: Job
    source: HubSource
    url: str
    part: Path
    sha256: str
    size_bytes: int | None

    @property
    def state_path(self) -> Path:
        """The file that holds the part's :class:`_PartState`."""
        return beside(self.part, ".json")


def fetch_from_hub(job: Job, source: HubSource) -> None:
    """Fetch the file of ``job``, going on where an earlier download of the very same bytes broke off.

    Raises:
        SourceError: the hub cannot deliver, and why.
    """
    import httpx

    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise SourceError("HF_HUB_OFFLINE is set")
    endpoint = (os.environ.get("HF_ENDPOINT") or _HUB).rstrip("/")
    url = f"{endpoint}/{source.repo}/resolve/{quote(source.revision, safe='')}/{quote(source.file)}"
    try:
        with _client(job) as client:
            published = _published(client, endpoint, url, source, want_hash=job.spec.sha256 is None)
            sha256 = _expected_hash(job.spec, published)
            if job.spec.sha256 is None and adopt(job.spec, job.path, sha256=sha256, progress=job.progress):
                return  # put there by hand, and only now is it known that it is right
            size = job.spec.size_bytes or published.size_bytes
            transfer = _Transfer(job, source, url, beside(job.path, ".part"), sha256, size)
            _download_rest(client, transfer)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SourceError(f"{url}: {_reason(error)}") from error
    take_if_right(job, source, transfer.part, sha256)


def _client(job: Job) -> httpx.Client:
    """An HTTP client with the environment's proxies and certificates."""
    import httpx

    headers = {"User-Agent": "plait", "Accept-Encoding": "identity"}
    token = os.environ.get("HF_TOKEN", "").strip()
    if token:
        headers["Authorization"] = f"Bearer {token}"
    timeout = httpx.Timeout(_READ_TIMEOUT_S, connect=job.connect_timeout_s)
    try:
        return httpx.Client(headers=headers, timeout=timeout, max_redirects=_MAX_REDIRECTS)
    except (ValueError, OSError, ImportError) as error:
        raise SourceError(f"the proxy or certificate settings cannot be used: {error}") from error


def _reason(error: Exception) -> str:
    return f"{str(error) or 'no answer'} ({type(error).__name__})"


def _published(
    client: httpx.Client, endpoint: str, url: str, source: HubSource, *, want_hash: bool
) -> _Published:
    """Ask the hub for the file's hash and size.

    Both stand in headers of the hub's own answer. Its redirect to a content server is not followed: the
    links that it signs there are for GET alone. Where a mirror drops the header, the listing is asked.
    """
    for _ in range(_MAX_REDIRECTS):
        response = client.head(url)
        location = response.headers.get("Location", "")
        if not response.is_redirect or "X-Linked-Etag" in response.headers or urlsplit(location).netloc:
            break
        url = urljoin(url, location)
    _check_status(response)
    sha256 = _as_sha256(response.headers.get("X-Linked-Etag", ""))
    size = response.headers.get("X-Linked-Size")
    if size is None and response.is_success:
        size = response.headers.get("Content-Length")
    published = _Published(sha256, int(size) if size and size.isdecimal() else None)
    if sha256 is None and want_hash:
        return _listed(client, endpoint, source) or published
    return published


def _listed(client: httpx.Client, endpoint: str, source: HubSource) -> _Published | None:
    """What the hub's listing of the repository says about the file, if it says its hash."""
    folder = quote(source.file.rpartition("/")[0])
    revision = quote(source.revision, safe="")
    url = f"{endpoint}/api/models/{source.repo}/tree/{revision}" + (f"/{folder}" if folder else "")
    response = client.get(url, follow_redirects=True)
    if not response.is_success:
        return None
    try:
        entries = response.json()
    except ValueError:
        return None
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("path") == source.file:
            large_file = entry.get("lfs")
            sha256 = _as_sha256(str(large_file.get("oid", ""))) if isinstance(large_file, dict) else None
            size = entry.get("size")
            return _Published(sha256, size if isinstance(size, int) else None) if sha256 else None
    return None


def _as_sha256(text: str) -> str | None:
    """The hash in an ETag or an object id; ``None`` where it is no SHA-256."""
    bare = text.removeprefix("W/").strip('"').removeprefix("sha256:").lower()
    return bare if len(bare) == 64 and set(bare) <= set("0123456789abcdef") else None


def _check_status(response: httpx.Response) -> None:
    """Fail with a reason that helps where the hub answers with an error."""
    status = response.status_code
    if status < 400:
        return
    hints = {
        401: "private, gated or not existing; set HF_TOKEN to a token that may read it",
        403: "not allowed; accept the model's terms on the hub and set HF_TOKEN",
        404: "no such file",
        429: "too many requests; try later or set HF_TOKEN",
    }
    raise SourceError(f"{response.request.url}: HTTP {status}: {hints.get(status, response.reason_phrase)}")


def _expected_hash(spec: FileSpec, published: _Published) -> str:
    """The hash that the download must have."""
    expected = spec.sha256 or published.sha256
    if expected is None:
        raise SourceError(
            "refused: neither the catalog nor the hub gives a SHA-256 to check the file against"
        )
    if published.sha256 not in (None, expected):
        raise SourceError(f"it has another file now: its SHA-256 is {published.sha256}, not {expected}")
    return expected


def _download_rest(client: httpx.Client, transfer: _Transfer) -> None:
    """Fetch what the part lacks, again as often as the connection breaks with something new fetched."""
    import httpx

    for _ in range(_MAX_ATTEMPTS):
        before = _resumable_bytes(transfer)
        if before == transfer.size_bytes:
            return
        try:
            if _download_once(client, transfer, before):
                return
        except httpx.TransportError:
            if size_of(transfer.part) <= before:
                raise
    fetched, total = size_of(transfer.part), transfer.size_bytes
    of_total = f" of {total:,}" if total else ""
    raise SourceError(
        f"{transfer.url}: broke off {_MAX_ATTEMPTS} times; {fetched:,}{of_total} bytes are kept"
    )


def _resumable_bytes(transfer: _Transfer) -> int:
    """How many bytes of this very file the part has; what belongs to another file does not count."""
    if read_state(transfer.state_path).get("sha256") != transfer.sha256:
        return 0
    size = size_of(transfer.part)
    return size if transfer.size_bytes is None or size <= transfer.size_bytes else 0


def _download_once(client: httpx.Client, transfer: _Transfer, offset: int) -> bool:
    """Append to the part what one response gives; whether the file is whole then.

    The server decides where it begins: it sends the rest from ``offset`` (206) or, when it has no
    ranges or has another version of the file, everything (200).
    """
    etag = read_state(transfer.state_path).get("etag") if offset else None
    headers = {"Range": f"bytes={offset}-"} if offset else {}
    if isinstance(etag, str) and etag.startswith('"'):  # a weak one may not stand in If-Range
        headers["If-Range"] = etag
    with client.stream("GET", transfer.url, headers=headers, follow_redirects=True) as response:
        continues = response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
        if response.status_code == 416 or (response.status_code == 206 and not continues):
            transfer.part.unlink(missing_ok=True)  # the next attempt begins anew
            return False
        _check_status(response)
        start = offset if response.status_code == 206 else 0
        total = transfer.size_bytes or _whole_size(response, start)
        check_space(transfer.job, max(0, (total or 0) - offset))
        if start == 0:
            transfer.part.unlink(missing_ok=True)
        write_json(transfer.state_path, asdict(_PartState(transfer.sha256, response.headers.get("ETag"))))
        _append_body(response, transfer, total)
    return total is None or size_of(transfer.part) >= total


def _whole_size(response: httpx.Response, start: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    return start + int(length) if length.isdecimal() else None


def _append_body(response: httpx.Response, transfer: _Transfer, total: int | None) -> None:
    """Write the body to the end of the part; what has arrived is in the file even if it breaks off."""
    with transfer.part.open("ab") as file:
        done = file.tell()
        transfer.job.report(transfer.source, done, total)
        for chunk in response.iter_raw():
            if total is not None and done + len(chunk) > total:
                raise SourceError(f"{transfer.url}: it sends more than the {total:,} bytes that it should")
            write(file, chunk)
            done += len(chunk)
            transfer.job.report(transfer.source, done, total)
