"""OpenAI's endpoints, as chat clients use them."""

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest

pytestmark = pytest.mark.anyio

LOOK = '1. get_email_address(name="Maya Okafor")\n2. join()'
NOTE = '1. create_note(name="Trip", content="Bring the map")\n2. join()'


def body(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "plait", "messages": [{"role": "user", "content": text}], **more}


async def chunks(served: Any, request: dict[str, Any]) -> list[Any]:
    found = []
    async with served.client.stream("POST", "/v1/chat/completions", json=request) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for line in answer.aiter_lines():
            if line:
                data = line.removeprefix("data: ")
                found.append(data if data == "[DONE]" else json.loads(data))
    return found


async def test_the_model_is_listed(serve: Any) -> None:
    async with serve() as served:
        listed = (await served.client.get("/v1/models")).json()
    assert [model["id"] for model in listed["data"]] == ["plait"]


async def test_a_completion_is_a_turn_and_its_answer_the_message(serve: Any) -> None:
    async with serve(LOOK) as served:
        answer = (await served.client.post("/v1/chat/completions", json=body("Maya's address?"))).json()
        run = served.session.turns[0].run
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": run.answer}
    assert "@" in run.answer
    assert answer["usage"]["total_tokens"] == run.usage.prompt_tokens + run.usage.completion_tokens


async def test_a_stream_gives_the_same_text_in_pieces_and_ends(serve: Any) -> None:
    plan = '1. read_page(url="a")\n2. read_page(url="b")\n3. join()'
    async with serve(plan, "The page is odd and long.") as served:
        request = body("What is on page a?", stream=True, stream_options={"include_usage": True})
        found = await chunks(served, request)
        run = served.session.turns[0].run
    assert found[-1] == "[DONE]"
    assert found[-2]["choices"] == []
    assert found[-2]["usage"]["completion_tokens"] == run.usage.completion_tokens
    assert found[0]["choices"][0]["delta"]["role"] == "assistant"
    texts = [c["choices"][0]["delta"].get("content", "") for c in found[:-2]]
    assert "".join(texts) == run.answer == "The page is odd and long."
    assert found[-3]["choices"][0]["finish_reason"] == "stop"
    assert len({c["id"] for c in found[:-1]}) == 1


async def test_the_last_message_of_the_users_is_the_request_in_parts_too(serve: Any) -> None:
    parts = [{"type": "text", "text": "Maya's"}, {"type": "text", "text": "address?"}]
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": parts},
    ]
    async with serve(LOOK) as served:
        await served.client.post("/v1/chat/completions", json={"messages": messages, "temperature": 0})
        assert served.session.turns[0].query == "Maya's\naddress?"


async def test_calls_that_write_wait_for_the_pages_approval_here_too(serve: Any) -> None:
    async with serve(NOTE) as served:
        asking = asyncio.create_task(served.client.post("/v1/chat/completions", json=body("A note")))
        async with aclosing(served.events()) as events:
            async for event in events:
                if event.get("type") == "approval":
                    break
        assert not asking.done()
        decisions = {"decisions": {"1": {"approved": True}}}
        await served.client.post("/api/turns/1/decisions", json=decisions)
        answer = (await asking).json()
        assert list((served.home / "notes").rglob("Trip.md"))
    assert "Trip" in answer["choices"][0]["message"]["content"]


async def test_who_leaves_a_stream_cancels_the_turn(serve: Any) -> None:
    async with serve("1. wait()\n2. join()") as served:
        request = body("Wait", stream=True)
        async with served.client.stream("POST", "/v1/chat/completions", json=request) as answer:
            await anext(answer.aiter_lines())
            await served.stage.waiting.wait()
        async with aclosing(served.events()) as events:
            async for event in events:
                if event.get("type") == "ended":
                    break
        assert "cancelled" in event["error"]["message"]


async def test_what_fails_is_said_in_the_answer(serve: Any) -> None:
    failing = '1. get_email_address(name="Nobody Atall")\n2. join()'
    async with serve(failing, "1. join()", "I do not know that person.") as served:
        answer = (await served.client.post("/v1/chat/completions", json=body("Address of Nobody"))).json()
    assert answer["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("request_body", "status", "code"),
    [
        (body("Hello") | {"model": "gpt-4"}, 404, "model_not_found"),
        (body(" "), 400, "invalid_request"),
        ({"model": "plait", "messages": [{"role": "system", "content": "x"}]}, 400, "invalid_request"),
    ],
)
async def test_a_wrong_completion_is_refused_in_openais_form(
    serve: Any, request_body: dict[str, Any], status: int, code: str
) -> None:
    async with serve() as served:
        answer = await served.client.post("/v1/chat/completions", json=request_body)
        assert answer.status_code == status
        assert answer.json()["error"]["code"] == code
        assert served.session.turns == ()


async def test_a_completion_while_another_turn_runs_is_told_to_come_later(serve: Any) -> None:
    async with serve("1. wait()\n2. join()") as served:
        await served.ask("Wait")
        await served.stage.waiting.wait()
        answer = await served.client.post("/v1/chat/completions", json=body("Me too"))
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "busy")
