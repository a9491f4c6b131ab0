"""What tests of models share: a server on the loopback interface that plays one, and tiny models."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plait.models._gguf_writer import write_gguf


@dataclass(frozen=True)
class Received:
    """A request, and whether its sender has hung up."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    hung_up: asyncio.Event


class Response:
    """What a handler answers with. One that answers nothing hangs up."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def json(self, body: Any, status: int = 200, **headers: str) -> None:
        await self.raw(json.dumps(body).encode(), status=status, content_type="application/json", **headers)

    async def raw(
        self, body: bytes, status: int = 200, content_type: str = "text/html", **headers: str
    ) -> None:
        self._head(status, {"Content-Type": content_type, "Content-Length": str(len(body)), **headers})
        await self._write(body)

    async def sse(self, *pieces: bytes, ends: bool = True) -> None:
        """A stream of events, a network write for each piece; one that does not end is cut off."""
        await self.begin_sse()
        for piece in pieces:
            await self.piece(piece)
        if ends:
            await self._write(b"0\r\n\r\n")

    async def begin_sse(self) -> None:
        self._head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        await self._writer.drain()

    async def piece(self, piece: bytes) -> None:
        await self._write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")

    async def chunks(self, *chunks: dict[str, Any]) -> None:
        """A whole answer: these chunks, each in an event, and ``[DONE]``."""
        await self.sse(*(event(chunk) for chunk in chunks), b"data: [DONE]\n\n")

    def _head(self, status: int, headers: dict[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self._writer.write("\r\n".join([*lines, "", ""]).encode())

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()
        await asyncio.sleep(0)  # lets the reader take this piece before the next one


Handler = Callable[[Received, Response], Awaitable[None]]


@dataclass
class LoopbackServer:
    handler: Handler
    url: str = ""
    requests: list[Received] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    tasks: list[asyncio.Task[None] | None] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.append(asyncio.current_task())
        try:
            received = await _receive(reader)
            self.requests.append(received)
            watch = asyncio.create_task(_watch(reader, received.hung_up))
            try:
                await self.handler(received, Response(writer))
            finally:
                watch.cancel()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left, which is its right
        except Exception as error:
            self.failures.append(error)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def _watch(reader: asyncio.StreamReader, hung_up: asyncio.Event) -> None:
    with suppress(ConnectionError):
        await reader.read()
    hung_up.set()


async def _receive(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    request_line, *lines = head.strip().split("\r\n")
    method, path, _ = request_line.split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(method, path, headers, json.loads(body) if body else None, asyncio.Event())


def event(chunk: Any) -> bytes:
    return f"data: {json.dumps(chunk)}\n\n".encode()


def text_chunk(text: str | None = None, finish_reason: str | None = None, **delta: Any) -> dict[str, Any]:
    if text is not None:
        delta["content"] = text
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


def usage_chunk(prompt: int, completion: int, cached: int = 0) -> dict[str, Any]:
    details = {"cached_tokens": cached}
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "prompt_tokens_details": details}
    return {"choices": [], "usage": usage}


@asynccontextmanager
async def _open_server(handler: Handler) -> AsyncIterator[LoopbackServer]:
    loopback = LoopbackServer(handler)
    server = await asyncio.start_server(loopback.serve, "127.0.0.1", 0)
    loopback.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield loopback
    finally:
        server.close()
        await asyncio.gather(*filter(None, loopback.tasks), return_exceptions=True)
    assert not loopback.failures, loopback.failures


@pytest.fixture
def open_server() -> Callable[[Handler], AbstractAsyncContextManager[LoopbackServer]]:
    """``async with open_server(handler) as server``: ``handler`` answers each request."""
    return _open_server


@pytest.fixture
def wire() -> Any:
    """The functions that make what a model server writes."""

    class Wire:
        event = staticmethod(event)
        text = staticmethod(text_chunk)
        usage = staticmethod(usage_chunk)

    return Wire


# Models of few tokens and one layer, for what is wrong with a file or odd about it

LETTERS = tuple(map(chr, range(97, 123)))
BYTES = tuple(f"<0x{n:02X}>" for n in range(256))
_WIDTH = 32
_CONTROL, _NORMAL, _UNKNOWN, _BYTE = 3, 1, 2, 6


def write_tiny_model(
    path: Path, *, letters: Sequence[str] = LETTERS, has_bytes: bool = True, template: str | None = None
) -> Path:
    """Write a model that llama.cpp loads, with random weights.

    Args:
        path: the file.
        letters: its normal tokens.
        has_bytes: whether it has a token for every byte, to fall back on.
        template: its chat template; ``None``: it has none.
    """
    tokens = ["<unk>", "<s>", "</s>", *letters, *(BYTES if has_bytes else ())]
    types = [_UNKNOWN, _CONTROL, _CONTROL, *[_NORMAL] * len(letters), *[_BYTE] * (256 * has_bytes)]
    metadata: dict[str, Any] = {
        "general.architecture": "llama",
        "llama.context_length": 512,
        "llama.embedding_length": _WIDTH,
        "llama.block_count": 1,
        "llama.feed_forward_length": 64,
        "llama.attention.head_count": 1,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [0.0] * len(tokens),
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }
    if template is not None:
        metadata["tokenizer.chat_template"] = template
    random = np.random.default_rng(0)
    write_gguf(
        path, metadata, {name: random.normal(size=shape) for name, shape in _shapes(len(tokens)).items()}
    )
    return path


def _shapes(n_tokens: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd": (n_tokens, _WIDTH),
        "output": (n_tokens, _WIDTH),
        "output_norm": (_WIDTH,),
        "blk.0.attn_norm": (_WIDTH,),
        "blk.0.ffn_norm": (_WIDTH,),
        "blk.0.ffn_gate": (64, _WIDTH),
        "blk.0.ffn_up": (64, _WIDTH),
        "blk.0.ffn_down": (_WIDTH, 64),
    }
    shapes |= {f"blk.0.{name}": (_WIDTH, _WIDTH) for name in ("attn_q", "attn_k", "attn_v", "attn_output")}
    return {f"{name}.weight": shape for name, shape in shapes.items()}


@pytest.fixture
def write_tiny(tmp_path: Path) -> Callable[..., Path]:
    """Writes a tiny model, given the options of :func:`write_tiny_model`."""
    return lambda **options: write_tiny_model(tmp_path / "tiny.gguf", **options)
