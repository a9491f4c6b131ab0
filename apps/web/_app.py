"""The server's endpoints, over one session."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from plait.apps.assistant import ActionLog, Decision, Session, Settings, UndoRegistry
from plait.apps.voice._dictation import Dictation
from plait.apps.web._completions import add_completions
from plait.apps.web._page import add_page
from plait.apps.web._speech import add_speech
from plait.apps.web._turns import Turns
from plait.apps.web._wire import decision_json, entry_json, error_json, settings_json
from plait.errors import ApprovalError, BusyError, ConfigurationError, PlaitError, ToolArgumentError
from plait.tools import call_in_thread

MAX_REQUEST_CHARS = 20_000
MAX_ACTIONS = 1000
_STATUS = {ApprovalError: 409, BusyError: 409, ToolArgumentError: 422}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Request(_Body):
    text: str = Field(max_length=MAX_REQUEST_CHARS)
    name: str | None = Field(None, max_length=100)


class _Decision(_Body):
    approved: bool
    edits: dict[str, Any] = {}


class _Decisions(_Body):
    decisions: dict[int, _Decision]


class _Settings(_Body):
    model: str | None = None
    home: str | None = None
    tools_off: frozenset[str] | None = None
    instructions: str | None = Field(None, max_length=MAX_REQUEST_CHARS)


def create_app(
    session: Session,
    *,
    log: ActionLog | None = None,
    undo: Callable[[Settings], UndoRegistry] = lambda settings: UndoRegistry(),
    dictation: Dictation | None = None,
) -> FastAPI:
    """The server over ``session``, which is open; who may talk to it is another matter.

    Args:
        session: what carries out requests.
        log: the history of what was done, also in earlier sessions; ``None``: there is none.
        undo: what can undo an action of it, for the settings.
        dictation: recognizes what the page records; ``None``: it has no button for that.
    """
    app = FastAPI(title="plait", openapi_url=None)
    turns = Turns(session)
    identity = secrets.token_hex(8)

    def describe() -> dict[str, Any]:
        speech = None if dictation is None else {"obstacle": dictation.obstacle}
        return {**settings_json(session.settings, session.toolbox, session.kept), "speech": speech}

    @app.exception_handler(PlaitError)
    async def tell(_: Request, error: PlaitError) -> JSONResponse:
        return JSONResponse({"error": error_json(error)}, _STATUS.get(type(error), 400))

    @app.get("/api/events")
    async def events(
        after: str = "", last_event_id: Annotated[str | None, Header()] = None
    ) -> StreamingResponse:
        stream = _events(session, identity, last_event_id or after)
        return StreamingResponse(stream, media_type="text/event-stream")

    @app.post("/api/requests", status_code=202)
    async def ask(body: _Request) -> dict[str, int]:
        return {"turn": await turns.start(body.text, name=body.name)}

    @app.post("/api/turns/{turn}/decisions")
    async def decide(turn: int, body: _Decisions) -> dict[str, Any]:
        edits = session.read_edits(turn, {k: d.edits for k, d in body.decisions.items() if d.edits})
        given = {k: Decision(d.approved, edits.get(k, {})) for k, d in body.decisions.items()}
        stand = session.decide(turn, given)
        return {"decisions": {str(k): decision_json(d) for k, d in stand.items()}}

    @app.post("/api/turns/{turn}/cancel")
    async def cancel(turn: int) -> dict[str, bool]:
        return {"cancelled": turns.cancel(turn)}

    @app.post("/api/clear", status_code=204)
    async def clear() -> None:
        session.clear()

    @app.get("/api/history")
    async def history() -> list[dict[str, Any]]:
        return [{"turn": t.number, **t.run.to_json()} for t in reversed(session.turns) if t.run is not None]

    @app.get("/api/actions")
    async def actions(limit: Annotated[int, Query(ge=1, le=MAX_ACTIONS)] = 50) -> list[dict[str, Any]]:
        done = [] if log is None else log.actions(limit=limit, kinds=frozenset({"writes", "sends"}))
        return [action.to_json() for action in done]

    @app.post("/api/actions/{number}/undo")
    async def take_back(number: int) -> dict[str, str]:
        if log is None:
            raise ConfigurationError("PLAIT_HISTORY is off, so there is no history to undo anything of")
        registry = undo(session.settings)
        return {"text": await call_in_thread(log.undo, {"number": number, "registry": registry})}

    @app.get("/api/settings")
    async def settings() -> dict[str, Any]:
        return describe()

    @app.patch("/api/settings")
    async def change(body: _Settings) -> dict[str, Any]:
        changed: dict[str, Any] = {n: getattr(body, n) for n in body.model_fields_set}
        changed = {name: value for name, value in changed.items() if value is not None}
        if "home" in changed:
            changed["home"] = _folder(changed["home"])
        await session.configure(replace(session.settings, **changed))
        return describe()

    add_completions(app, session, turns)
    add_speech(app, session, dictation)
    add_page(app)
    return app


def _folder(text: str) -> Path:
    return Path(text.strip()).expanduser()


async def _events(session: Session, identity: str, seen: str) -> AsyncGenerator[str]:
    """The session's events as server-sent events, from the one after ``seen``.

    An event's id has the session's identity in it, so that who comes back to a server that was started
    anew, whose numbers begin again, is told everything.
    """
    owner, _, number = seen.partition(".")
    after = int(number) if owner == identity and number.isdecimal() else 0
    yield f"retry: 1000\nevent: hello\ndata: {json.dumps({'session': identity, 'after': after})}\n\n"
    async with aclosing(session.follow(after)) as entries:
        async for entry in entries:
            data = json.dumps(entry_json(entry, session.toolbox))
            yield f"id: {identity}.{entry.number}\ndata: {data}\n\n"
