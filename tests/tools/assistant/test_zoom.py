from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import pytest

from plait.errors import ConfigurationError, ToolCallError
from plait.tools.assistant import Zoom

pytestmark = pytest.mark.anyio
NINE = datetime(2026, 11, 24, 9, 0)
TOKEN = (200, '{"access_token": "t0ken", "token_type": "bearer", "expires_in": 3599}')
MADE = (201, '{"id": 1, "join_url": "https://zoom.example/j/1"}')


@pytest.fixture
def zoom(stub: Any, berlin: ZoneInfo) -> Zoom:
    return Zoom(
        "acc",
        "client",
        secrets=lambda service, user: {("zoom", "client"): "s3cret"}.get((service, user)),
        tz=berlin,
        api_url=f"{stub.url}/v2",
        oauth_url=f"{stub.url}/oauth/token",
    )


async def test_a_meeting_is_scheduled_and_its_link_given(zoom: Zoom, stub: Any) -> None:
    stub.answers = [TOKEN, MADE]
    assert (
        await zoom.create(" Budget\nreview ", NINE, 30, ["Sid <sid@example.com>"])
        == "https://zoom.example/j/1"
    )
    token, meeting = stub.asked
    assert (token.method, token.path) == ("POST", "/oauth/token")
    assert parse_qs(token.body) == {"grant_type": ["account_credentials"], "account_id": ["acc"]}
    assert base64.b64decode(token.headers["Authorization"].removeprefix("Basic ")) == b"client:s3cret"
    assert (meeting.method, meeting.path) == ("POST", "/v2/users/me/meetings")
    assert meeting.headers["Authorization"] == "Bearer t0ken"
    assert json.loads(meeting.body) == {
        "topic": "Budget review",
        "type": 2,
        "start_time": "2026-11-24T08:00:00Z",
        "duration": 30,
        "timezone": "Europe/Berlin",
        "settings": {"meeting_invitees": [{"email": "sid@example.com"}]},
    }


async def test_a_time_with_an_offset_is_that_instant(zoom: Zoom, stub: Any) -> None:
    stub.answers = [TOKEN, MADE]
    await replace(zoom, host="a/b@example.org", tz=UTC).create("x", NINE.replace(tzinfo=UTC))
    assert stub.asked[1].path == "/v2/users/a%2Fb@example.org/meetings"
    assert json.loads(stub.asked[1].body) == {
        "topic": "x",
        "type": 2,
        "start_time": "2026-11-24T09:00:00Z",
        "duration": 60,
    }


@pytest.mark.parametrize("answer", [(401, '{"reason": "Invalid client"}'), (200, "[]"), (200, "<html>")])
async def test_credentials_that_zoom_refuses_are_named(
    zoom: Zoom, stub: Any, answer: tuple[int, str]
) -> None:
    stub.answers = [answer]
    with pytest.raises(
        ToolCallError, match=r"does not accept the credentials .*PLAIT_ZOOM_PASSWORD"
    ) as caught:
        await zoom.create("x", NINE)
    assert "s3cret" not in str(caught.value)
    assert len(stub.asked) == 1


@pytest.mark.parametrize(
    "answer", [(429, '{"message": "Too many"}'), (201, "{}"), (201, '{"join_url": 3}'), (300, "")]
)
async def test_an_answer_without_a_meeting_is_quoted(zoom: Zoom, stub: Any, answer: tuple[int, str]) -> None:
    stub.answers = [TOKEN, answer]
    with pytest.raises(ToolCallError, match=f"Zoom made no meeting: it answered {answer[0]}"):
        await zoom.create("x", NINE)


async def test_a_server_that_goes_down_in_the_middle_leaves_it_open(zoom: Zoom, stub: Any) -> None:
    stub.answers = [TOKEN, (0, "")]
    with pytest.raises(ToolCallError, match=r"Zoom at 127.0.0.1 did not answer .*it may have done"):
        await zoom.create("x", NINE)


async def test_a_secret_that_nobody_knows_is_asked_for(zoom: Zoom, stub: Any) -> None:
    with pytest.raises(ToolCallError, match="set PLAIT_ZOOM_PASSWORD"):
        await replace(zoom, secrets=lambda *_: None).create("x", NINE)
    assert stub.asked == []


@pytest.mark.parametrize(
    ("topic", "start", "minutes", "invitees", "said"),
    [
        ("", NINE, 60, [], "has no topic"),
        ("x", NINE, 0, [], "A meeting of 0 minutes is none"),
        ("x", NINE, 100_000, [], "give 1 to 1440"),
        ("x", NINE.replace(year=1), 60, [], "out of range"),
        ("x", NINE, 60, ["Sid"], "The invitee 'Sid' is no email address"),
    ],
)
async def test_bad_arguments_reach_no_server(
    zoom: Zoom, stub: Any, topic: str, start: datetime, minutes: int, invitees: list[str], said: str
) -> None:
    with pytest.raises(ToolCallError, match=said):
        await zoom.create(topic, start, minutes, invitees)
    assert stub.asked == []


def test_secrets_go_over_tls_only() -> None:
    with pytest.raises(ConfigurationError, match=r"zoom\.api_url is .* not encrypted"):
        Zoom("a", "c", api_url="http://api.zoom.us/v2")
