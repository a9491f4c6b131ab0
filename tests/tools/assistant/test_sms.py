from __future__ import annotations

import base64
import json
import socket
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.errors import ConfigurationError, ToolCallError
from plait.tools.assistant import SmsGateway
from plait.tools.assistant._sms import _filled, read_number, send_all

pytestmark = pytest.mark.anyio
TEXT = 'See you at 9 & bring "numbers" {to} {password}\nñ'


def know(service: str, user: str) -> str | None:
    return {"sms": "s3cret"}.get(service)


async def test_json_is_filled_in_at_any_depth(stub: Any) -> None:
    stub.answers = [(201, "{}")]
    body = {"messages": [{"to": "{to}", "from": "me", "text": "{message}", "n": 1}]}
    gateway = SmsGateway(
        f"{stub.url}/send", json=body, headers={"Authorization": "Bearer {password}"}, secrets=know
    )
    assert await send_all(gateway, ["+1 (503) 555-0101", "+1-503-555-0101"], TEXT) == (
        "Sent the message to +15035550101"
    )
    (asked,) = stub.asked
    assert (asked.method, asked.path) == ("POST", "/send")
    assert json.loads(asked.body) == {
        "messages": [{"to": "+15035550101", "from": "me", "text": TEXT, "n": 1}]
    }
    assert asked.headers["Authorization"] == "Bearer s3cret"


async def test_a_form_with_basic_authentication(stub: Any) -> None:
    stub.answers = [(200, "queued")]
    form = {"To": "{to}", "Body": "{message}"}
    await send_all(SmsGateway(stub.url, form=form, user="AC1", secrets=know), ["5550101"], TEXT)
    (asked,) = stub.asked
    assert parse_qs(asked.body) == {"To": ["5550101"], "Body": [TEXT]}
    assert base64.b64decode(asked.headers["Authorization"].removeprefix("Basic ")) == b"AC1:s3cret"


async def test_a_url_is_filled_in_percent_encoded(stub: Any) -> None:
    stub.answers = [(200, "")]
    gateway = SmsGateway(f"{stub.url}/?to={{to}}&text={{message}}#x", method="GET")
    await send_all(gateway, ["+5550101"], "a&to=1#?/ñ")
    assert stub.asked[0].path == "/?to=%2B5550101&text=a%26to%3D1%23%3F%2F%C3%B1"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, '{"error": "bad\\nkey"}'), r'answered 401 {"error": "bad\\nkey"}; the message was not taken'),
        ((500, "x" * 900), r"answered 500 x{200}\.\.\.; the message was not taken"),
        ((302, ""), "answered 302"),
        ((200, '{"status": "rejected"}'), "answered 200 .*rejected.*; the message was not taken"),
        ((0, ""), "did not answer .*; it may have done what was asked or not"),
    ],
)
async def test_a_gateway_that_refuses_or_fails_is_quoted(
    stub: Any, answer: tuple[int, str], said: str
) -> None:
    stub.answers = [answer]
    gateway = SmsGateway(f"{stub.url}/{{to}}/{{message}}", confirmation='"ok"')
    with pytest.raises(ToolCallError, match=f"The message to 5550101 failed: .*{said}") as caught:
        await send_all(gateway, ["5550101"], "Hi")
    assert len(str(caught.value)) < 400


async def test_who_got_the_message_before_it_failed_is_told(stub: Any) -> None:
    stub.answers = [(200, ""), (200, ""), (503, "busy")]
    gateway = SmsGateway(f"{stub.url}/{{to}}/{{message}}")
    with pytest.raises(ToolCallError, match=r"to 333 failed: .*503 busy.*; 111, 222 got the message already"):
        await send_all(gateway, ["111", "222", "333", "444"], "Hi")
    assert len(stub.asked) == 3


async def test_a_gateway_that_is_down_has_done_nothing() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers
        gateway = SmsGateway(f"http://127.0.0.1:{taken.getsockname()[1]}/{{to}}/{{message}}")
        with pytest.raises(ToolCallError, match=r"at 127.0.0.1 cannot be reached \(.*\); nothing was done"):
            await send_all(gateway, ["111"], "Hi")


async def test_a_password_that_nobody_knows_is_asked_for(stub: Any) -> None:
    gateway = SmsGateway(f"{stub.url}/{{to}}/{{message}}/{{password}}", secrets=lambda *_: None)
    with pytest.raises(ToolCallError, match="set PLAIT_SMS_PASSWORD"):
        await send_all(gateway, ["111"], "Hi")
    assert stub.asked == []


@pytest.mark.parametrize("recipient", ["Sid", "+1-503-555-0107 x12", "sid@example.com", "", "1", "+1\n22x"])
async def test_what_is_no_number_gets_no_message(stub: Any, recipient: str) -> None:
    with pytest.raises(ToolCallError, match="is no phone number that takes messages; look the number up"):
        await send_all(SmsGateway(f"{stub.url}/{{to}}/{{message}}"), ["5550101", recipient], "Hi")
    assert stub.asked == []


@pytest.mark.parametrize(("recipients", "message"), [([], "Hi"), (["111"], " \0\n")])
async def test_nothing_to_send_and_nobody_to_send_to(recipients: list[str], message: str) -> None:
    with pytest.raises(ToolCallError, match=r"has no recipient|is empty"):
        await send_all(SmsGateway("https://x/{to}/{message}"), recipients, message)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"url": "sms.example.org/{to}{message}"}, "give a URL that begins with https://"),
        ({"url": "http://sms.example.org/{to}{message}"}, "not encrypted; use https://"),
        ({"url": "https://x/", "json": {"to": "{to}"}}, "no place for {to} and {message}"),
        ({"url": "https://x/", "json": "{to}{message}", "form": {}}, "a request has one body"),
        ({"url": "https://x/{to}{message}", "headers": {"X": "{message}"}}, "may hold {password} only"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        SmsGateway(**options)


def test_a_phone_on_the_local_network_may_be_the_gateway() -> None:
    assert SmsGateway("http://192.168.1.20:8080/{to}/{message}").method == "POST"


@given(st.text(), st.text())
def test_what_is_filled_in_is_never_a_template(to: str, message: str) -> None:
    values = {"to": to, "message": message, "password": "s3cret"}
    assert _filled("{to}|{message}", values, str) == f"{to}|{message}"


@given(st.from_regex(r"\+?[0-9]{3,12}", fullmatch=True))
def test_plain_numbers_stay_as_they_are(number: str) -> None:
    assert read_number(f" {number} ") == number
