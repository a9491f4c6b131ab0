"""The part of OpenAI's API that chat clients use: ``/v1/models`` and ``/v1/chat/completions``."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal

from fastapi import FastAPI
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field

from plait.apps.assistant import Session
from plait.apps.web._turns import Turns
from plait.errors import BusyError, PlaitError
from plait.orchestrator import AnswerTextWritten, Run, RunFinished

MODEL = "plait"


class _Part(BaseModel):
    type: str
    text: str = ""


class _Message(BaseModel):
    role: str
    content: str | list[_Part] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.type == "text")
        return self.content or ""


class _StreamOptions(BaseModel):
    include_usage: bool = False


class _Completion(BaseModel):
    model: str = MODEL
    messages: list[_Message] = Field(min_length=1)
    stream: bool = False
    stream_options: _StreamOptions = _StreamOptions()
    n: Literal[1] | None = None


def add_completions(app: FastAPI, session: Session, turns: Turns) -> None:
    """Serve chat clients: the last message of the user's is a turn of the session.

    Calls that write or send wait for the approval that the page gives, as for every other turn.
    """
    since = int(time.time())

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        listed = {"id": MODEL, "object": "model", "created": since, "owned_by": "plait"}
        return {"object": "list", "data": [listed]}

    @app.post("/v1/chat/completions", response_model=None)
    async def complete(body: _Completion) -> JSONResponse | StreamingResponse:
        if body.model not in (MODEL, session.settings.model):
            message = f"there is no model {body.model!r} here; ask for {MODEL!r}"
            return _refusal(404, message, "model_not_found")
        query = next((m.text for m in reversed(body.messages) if m.role == "user"), "")
        after = session.last_event
        try:
            turn = await turns.start(query)
        except BusyError as error:
            return _refusal(429, str(error), "busy")
        except PlaitError as error:
            return _refusal(400, str(error), "invalid_request")
        head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": MODEL}
        pieces = _pieces(session, turns, turn, after)
        if body.stream:
            events = _chunks(head, pieces, with_usage=body.stream_options.include_usage)
            return StreamingResponse(events, media_type="text/event-stream")
        async with aclosing(pieces):
            text, run = "", Run(query)
            async for piece in pieces:
                if isinstance(piece, Run):
                    run = piece
                else:
                    text += piece
        return JSONResponse(_whole(head, text, run))


async def _pieces(session: Session, turns: Turns, turn: int, after: int) -> AsyncGenerator[str | Run]:
    """The answer of a turn as it is written, and at last the run; who stops listening cancels the turn."""
    written = ""
    try:
        async with aclosing(session.follow(after)) as entries:
            async for entry in entries:
                event = entry.event
                if entry.turn != turn:
                    continue
                if isinstance(event, AnswerTextWritten):
                    written += event.text
                    yield event.text
                elif isinstance(event, RunFinished):
                    rest = _rest(written, event.run)
                    if rest:
                        yield rest
                    yield event.run
                    return
    finally:
        turns.cancel(turn)


def _rest(written: str, run: Run) -> str:
    """What is still to be said when a run has ended: the rest of the answer, or why there is none."""
    text = run.answer if run.error is None else f"{run.answer}\n\n{run.error}".strip()
    if text.startswith(written.strip()):
        return text[len(written.strip()) :]
    return f"\n\n{text}"


def _whole(head: dict[str, Any], text: str, run: Run) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": _usage(run)}


async def _chunks(
    head: dict[str, Any], pieces: AsyncGenerator[str | Run], *, with_usage: bool
) -> AsyncGenerator[str]:
    head = {**head, "object": "chat.completion.chunk"}
    yield _chunk(head, {"role": "assistant", "content": ""})
    async with aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, str):
                yield _chunk(head, {"content": piece})
                continue
            yield _chunk(head, {}, finish_reason="stop")
            if with_usage:
                yield _data({**head, "choices": [], "usage": _usage(piece)})
    yield "data: [DONE]\n\n"


def _chunk(head: dict[str, Any], delta: dict[str, str], finish_reason: str | None = None) -> str:
    return _data({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]})


def _data(document: dict[str, Any]) -> str:
    return f"data: {json.dumps(document)}\n\n"


def _usage(run: Run) -> dict[str, int]:
    prompt, completion = run.usage.prompt_tokens, run.usage.completion_tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _refusal(status: int, message: str, code: str) -> JSONResponse:
    kind = "invalid_request_error"
    return JSONResponse({"error": {"message": message, "type": kind, "param": None, "code": code}}, status)
