"""The page's microphone: recordings come in, text goes out."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from plait.apps.assistant import Session
from plait.apps.voice._dictation import MAX_RATE, MAX_SECONDS, Dictation, read_recording
from plait.apps.voice._hints import contact_names
from plait.apps.web._wire import error_json
from plait.errors import ConfigurationError, VoiceError
from plait.tools import call_in_thread

MAX_BYTES = MAX_SECONDS * MAX_RATE * 2 + 4096
_MAX_READ_BYTES = 4 * MAX_BYTES
_BODY_S = 60.0
_TYPES = ("audio/wav", "audio/x-wav", "audio/wave")


def add_speech(app: FastAPI, session: Session, dictation: Dictation | None) -> None:
    """Recognize what the page records, with the names of the session's contacts as hints."""

    def ready() -> Dictation:
        if dictation is None:
            raise ConfigurationError("speech is not recognized here; type the request")
        if obstacle := dictation.obstacle:
            raise ConfigurationError(obstacle)
        return dictation

    @app.post("/api/speech/prepare", status_code=204)
    async def prepare() -> None:
        await ready().prepare()

    @app.post("/api/speech", response_model=None)
    async def hear(request: Request) -> dict[str, Any] | JSONResponse:
        listener = ready()
        try:
            async with asyncio.timeout(_BODY_S):
                data = await _body(request)
        except (ClientDisconnect, TimeoutError):
            return _refusal(400, "the recording broke off")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in _TYPES:
            return _refusal(415, f"speech comes as audio/wav, not as {kind or 'nothing'}")
        if data is None:
            return _refusal(413, f"the recording has more than {MAX_BYTES:,} bytes; send it in parts")
        samples = await call_in_thread(read_recording, {"data": data})
        hints = await call_in_thread(contact_names, {"settings": session.settings})
        return {"text": await listener.recognize(samples, hints)}


async def _body(request: Request) -> bytes | None:
    """What was sent; ``None`` where it is too much.

    Some of what is too much is read and forgotten, since a client that still sends does not hear an answer.
    """
    data, n_bytes = bytearray(), 0
    async for chunk in request.stream():
        n_bytes += len(chunk)
        if n_bytes <= MAX_BYTES:
            data += chunk
        elif n_bytes > _MAX_READ_BYTES:
            break
    return bytes(data) if n_bytes <= MAX_BYTES else None


def _refusal(status: int, message: str) -> JSONResponse:
    """The connection is closed with it, since what is still sent is not read."""
    error = {"error": error_json(VoiceError(message))}
    return JSONResponse(error, status, {"connection": "close"})
