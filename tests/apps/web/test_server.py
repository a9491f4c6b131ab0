"""The server: who gets in, one stream for all, requests, approvals, settings, the end."""

import asyncio
import shutil
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest

from plait.apps.assistant import KeptSettings, Session, Settings, SettingsFile
from plait.apps.web import WebServer, bind
from plait.errors import ConfigurationError

pytestmark = pytest.mark.anyio

LOOK = '1. get_email_address(name="Maya Okafor")\n2. join()'
NOTE = '1. create_note(name="Trip", content="Bring the map")\n2. join()'
MANY = """\
1. create_note(name="One", content="a")
2. create_note(name="Two", content="b")
3. create_note(name="Three", content="c")
4. join()"""


async def until(served: Any, kind: str, after: str = "") -> list[dict[str, Any]]:
    """The stream up to the first event of that type."""
    found = []
    async with aclosing(served.events(after)) as events:
        async for event in events:
            found.append(event)
            if event.get("type") == kind:
                break
    return found


def anonymous(served: Any, **headers: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=served.server.address, headers=headers, timeout=30, trust_env=False)


async def test_without_the_token_nothing_is_to_be_had(serve: Any) -> None:
    async with serve() as served, anonymous(served) as client:
        for path in ("/", "/api/events", "/api/settings", "/page/app.js", "/v1/models", "/?token=guess"):
            answer = await client.get(path)
            assert answer.status_code == 401
            assert "link that plait serve printed" in answer.text
            assert "set-cookie" not in answer.headers
        assert (await client.post("/api/requests", json={"text": "hello"})).status_code == 401
        assert served.session.turns == ()


async def test_the_link_is_exchanged_for_a_cookie_and_leaves_the_address_bar(serve: Any) -> None:
    async with serve() as served, anonymous(served) as client:
        answer = await client.get(served.server.link)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert served.server.token not in answer.headers["set-cookie"]
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/api/settings")).status_code == 200


async def test_a_name_that_points_here_is_refused_even_with_the_token(serve: Any) -> None:
    async with serve() as served:
        for host in ("evil.example", "evil.example:80", "localhost.evil.example", "", "[::1"):
            answer = await served.client.get("/api/settings", headers={"host": host})
            assert answer.status_code in (400, 421), host
        port = served.server.address.rpartition(":")[2]
        for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
            assert (await served.client.get("/api/settings", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
async def test_pages_of_other_sites_are_refused_even_with_the_token(
    serve: Any, headers: dict[str, str]
) -> None:
    async with serve() as served:
        answer = await served.client.post("/api/requests", json={"text": "hello"}, headers=headers)
        assert answer.status_code == 403
        assert served.session.turns == ()
        own = {"origin": served.server.address, "sec-fetch-site": "same-origin"}
        assert (await served.client.post("/api/clear", headers=own)).status_code == 204


async def test_every_answer_forbids_foreign_scripts_and_caches_nothing(serve: Any) -> None:
    async with serve() as served, anonymous(served) as client:
        for answer in (await served.client.get("/"), await client.get("/")):
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["cache-control"] == "no-store"
            assert "access-control-allow-origin" not in answer.headers


async def test_a_request_is_carried_out_and_told_on_the_stream(serve: Any) -> None:
    async with serve(LOOK) as served:
        turn = await served.ask("What is Maya's address?")
        events = await until(served, "ended")
    assert turn == 1
    assert events[0]["event"] == "hello"
    types = [e["type"] for e in events[1:]]
    assert types[0] == "request"
    steps = ("task", "started", "finished", "ended")
    assert [t for t in types if t in steps] == list(steps)
    assert events[-1]["ok"] is True
    assert "@" in events[-1]["answer"]


async def test_who_comes_back_misses_nothing_and_sees_nothing_twice(serve: Any) -> None:
    async with serve(LOOK, NOTE.replace("1.", "2.").replace("2. join", "3. join")) as served:
        await served.ask("What is Maya's address?")
        first = await until(served, "ended")
        await served.ask("Write a note")
        second = await until(served, "approval", after=first[-1]["id"])
        again = await until(served, "approval", after=first[-1]["id"])
    numbers = [e["number"] for e in first[1:] + second[1:]]
    assert numbers == sorted(set(numbers))
    assert second[1]["type"] == "request"
    assert [e["number"] for e in again[1:]] == [e["number"] for e in second[1:]]


async def test_who_comes_back_to_another_server_is_told_everything(serve: Any) -> None:
    async with serve(LOOK) as served:
        await served.ask("What is Maya's address?")
        await until(served, "ended")
        events = await until(served, "ended", after="0123456789abcdef.400")
    assert events[0]["after"] == 0
    assert events[1]["type"] == "request"


async def test_a_request_that_is_sent_again_is_not_done_again(serve: Any) -> None:
    async with serve(LOOK, LOOK) as served:
        assert await served.ask("What is Maya's address?", name="a") == 1
        await until(served, "ended")
        assert await served.ask("What is Maya's address?", name="a") == 1
        assert len(served.session.turns) == 1
        assert await served.ask("What is Maya's address?", name="b") == 2


async def test_a_second_request_waits_its_turn_and_an_empty_one_is_told(serve: Any) -> None:
    async with serve("1. wait()\n2. join()") as served:
        empty = await served.client.post("/api/requests", json={"text": "  "})
        assert (empty.status_code, empty.json()["error"]["type"]) == (400, "ConfigurationError")
        await served.ask("Wait")
        await served.stage.waiting.wait()
        busy = await served.client.post("/api/requests", json={"text": "Me too"})
        assert (busy.status_code, busy.json()["error"]["type"]) == (409, "BusyError")
        assert len(served.session.turns) == 1


async def test_cancelling_stops_that_turn_and_no_other(serve: Any) -> None:
    async with serve("1. wait()\n2. join()") as served:
        turn = await served.ask("Wait")
        await served.stage.waiting.wait()
        assert (await served.client.post("/api/turns/9/cancel")).json() == {"cancelled": False}
        assert (await served.client.post(f"/api/turns/{turn}/cancel")).json() == {"cancelled": True}
        events = await until(served, "ended")
        assert "cancelled" in events[-1]["error"]["message"]
        assert (await served.client.post(f"/api/turns/{turn}/cancel")).json() == {"cancelled": False}


async def test_calls_are_made_as_they_were_decided_once(serve: Any) -> None:
    async with serve(MANY) as served:
        turn = await served.ask("Three notes")
        asked = (await until(served, "approval"))[-1]
        assert [call["task"] for call in asked["calls"]] == [1, 2, 3]
        url = f"/api/turns/{turn}/decisions"
        edits = {"content": "edited"}
        first = await served.client.post(
            url, json={"decisions": {"1": {"approved": True, "edits": edits}, "2": {"approved": False}}}
        )
        assert first.json()["decisions"]["1"] == {"approved": True, "edits": edits}
        again = await served.client.post(url, json={"decisions": {"1": {"approved": False}}})
        assert again.json()["decisions"]["1"] == {"approved": True, "edits": edits}
        await served.client.post(url, json={"decisions": {"3": {"approved": True}}})
        events = await until(served, "ended")
        late = await served.client.post(url, json={"decisions": {"2": {"approved": True}}})
        assert late.json()["decisions"]["2"]["approved"] is False
        notes = {path.stem: path.read_text() for path in served.home.rglob("notes/**/*.md")}
    statuses = {e["task"]: e["status"] for e in events if e.get("type") == "finished"}
    assert statuses == {1: "ok", 2: "declined", 3: "ok"}
    assert "edited" in notes["One"]
    assert "Two" not in notes
    assert "Three" in notes


async def test_a_wrong_decision_is_told_and_decides_nothing(serve: Any) -> None:
    async with serve(NOTE) as served:
        turn = await served.ask("A note")
        await until(served, "approval")
        url = f"/api/turns/{turn}/decisions"
        wrong = {"1": {"approved": True, "edits": {"colour": "red"}}}
        answer = await served.client.post(url, json={"decisions": wrong})
        assert (answer.status_code, answer.json()["error"]["type"]) == (422, "ToolArgumentError")
        answer = await served.client.post(url, json={"decisions": {"7": {"approved": True}}})
        assert (answer.status_code, answer.json()["error"]["type"]) == (409, "ApprovalError")
        answer = await served.client.post("/api/turns/5/decisions", json={"decisions": {}})
        assert answer.status_code == 409
        assert served.session.question is not None


async def test_what_outsiders_wrote_is_marked_in_the_question(serve: Any) -> None:
    plan = '1. read_page(url="a")\n2. send(to="sid@example.com", text=$1)\n3. join()'
    async with serve(plan) as served:
        await served.ask("Send page a to Sid")
        call = (await until(served, "approval"))[-1]["calls"][0]
    assert {a["name"]: a["untrusted"] for a in call["arguments"]} == {"to": False, "text": True}
    assert call["kind"] == "sends"


async def test_the_question_about_a_reply_tells_to_whom_it_goes(serve: Any) -> None:
    async with serve('1. reply_to_email(context="Yes")\n2. join()') as served:
        await served.ask("Say yes")
        events = await until(served, "approval")
        assert "preparing" in [event.get("type") for event in events]
        call = events[-1]["calls"][0]
        assert not (served.home / "mail" / "Drafts").exists()
    facts = {fact["name"]: fact["value"] for fact in call["facts"]}
    assert facts["to"].endswith(" (Maya Lindqvist)")
    assert all(fact["untrusted"] for fact in call["facts"])
    assert facts["subject"] == "Re: Papers for the board"
    assert call["words"].startswith(f"Reply to {facts['to']}")
    assert call["arguments"][0]["written_from"] is None


async def test_settings_are_told_and_changed(serve: Any) -> None:
    async with serve(LOOK) as served:
        before = (await served.client.get("/api/settings")).json()
        assert before["model"] == "scripted"
        assert all(tool["on"] for tool in before["tools"])
        changed = await served.client.patch(
            "/api/settings", json={"tools_off": ["send"], "instructions": "Be brief."}
        )
        assert [t["name"] for t in changed.json()["tools"] if not t["on"]] == ["send"]
        assert served.session.settings.instructions == "Be brief."
        assert served.session.settings.model == "scripted"
        for body in ({"model": "broken"}, {"tools_off": ["sned"]}):
            answer = await served.client.patch("/api/settings", json=body)
            assert answer.status_code == 400, answer.text
        assert served.session.settings.tools_off == {"send"}


async def test_what_is_changed_is_kept_and_where_is_told(serve: Any, tmp_path: Path) -> None:
    file = SettingsFile(tmp_path / "settings.json")
    async with serve(LOOK) as served:
        assert (await served.client.get("/api/settings")).json()["kept_in"] is None
    shutil.rmtree(served.home)
    async with serve(LOOK, kept=file) as served:
        await served.client.patch("/api/settings", json={"model": "broken"})
        assert not file.path.exists()
        changed = await served.client.patch("/api/settings", json={"model": "other", "tools_off": ["send"]})
        assert changed.json()["kept_in"] == str(file.path)
        assert file.read() == KeptSettings(models={"": "other"}, tools_off={"": ("send",)})
        file.path.write_text("{")
        answer = await served.client.patch("/api/settings", json={"instructions": "Be brief."})
        assert answer.status_code == 400
        assert "mend or delete the file" in answer.json()["error"]["message"]
        assert served.session.settings.instructions == "Be brief."


async def test_history_is_what_was_asked_and_what_came_of_it_newest_first(serve: Any) -> None:
    async with serve(LOOK, LOOK) as served:
        await served.ask("First")
        await until(served, "ended")
        await served.client.post("/api/clear")
        await served.ask("Second")
        async with aclosing(served.events()) as events:
            async for event in events:
                if event.get("type") == "ended" and event["turn"] == 2:
                    break
        history = (await served.client.get("/api/history")).json()
    assert [entry["query"] for entry in history] == ["Second", "First"]
    assert history[0]["tasks"][0]["status"] == "ok"


async def test_what_was_written_is_listed_and_undone_once(serve: Any) -> None:
    async with serve(NOTE, is_asking=False) as served:
        await served.ask("Note that I bring the map")
        await until(served, "ended")
        (note,) = (await served.client.get("/api/actions")).json()
        assert (note["tool"], note["status"], note["undo"]) == ("create_note", "ok", True)
        assert (served.home / "notes" / "Trip.md").exists()
        undone = await served.client.post(f"/api/actions/{note['id']}/undo")
        assert undone.status_code == 200
        assert "Trip" in undone.json()["text"]
        assert not (served.home / "notes" / "Trip.md").exists()
        again = await served.client.post(f"/api/actions/{note['id']}/undo")
        assert again.status_code == 400
        assert "undone already" in again.json()["error"]["message"]
        assert (await served.client.get("/api/actions")).json()[0]["undo"] is False
        assert (await served.client.get("/api/actions", params={"limit": 0})).status_code == 422


async def test_without_a_history_nothing_is_listed_or_undone(serve: Any) -> None:
    async with serve(NOTE, is_asking=False, logged=False) as served:
        await served.ask("Note that I bring the map")
        await until(served, "ended")
        assert (await served.client.get("/api/actions")).json() == []
        answer = await served.client.post("/api/actions/1/undo")
        assert answer.status_code == 400
        assert "PLAIT_HISTORY is off" in answer.json()["error"]["message"]


async def test_stopping_cancels_the_turn_and_ends_all_streams(serve: Any) -> None:
    async with serve("1. wait()\n2. join()") as served:
        await served.ask("Wait")
        await served.stage.waiting.wait()
        async with aclosing(served.events()) as events:
            told = []
            async for event in events:
                told.append(event.get("type"))
                if event.get("type") == "started":
                    served.server.stop()
    assert told[-1] == "ended"
    run = served.session.turns[0].run
    assert run is not None
    assert run.tasks[0].status == "cancelled"


async def test_a_port_that_another_plait_serves_is_one_sentence_with_the_fix(serve: Any) -> None:
    async with serve() as served:
        port = int(served.server.address.rpartition(":")[2])

        def try_it() -> None:
            with bind("127.0.0.1", port):
                pass

        with pytest.raises(ConfigurationError, match=r"another plait serve is on 127.0.0.1:\d+.*--port"):
            await asyncio.to_thread(try_it)


async def test_a_port_of_another_program_is_named_without_plait() -> None:
    with bind("127.0.0.1", 0) as taken:
        taken.settimeout(0)
        with (
            pytest.raises(ConfigurationError, match="cannot be listened on") as told,
            bind("127.0.0.1", taken.getsockname()[1]),
        ):
            pass
    assert "plait serve" not in str(told.value)


async def test_an_address_of_nobodys_and_a_short_token_are_told(serve: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"--host nowhere\.invalid"), bind("nowhere.invalid", 0):
        pass
    async with serve() as served:
        with bind("127.0.0.1", 0) as bound, pytest.raises(ConfigurationError, match="at least 16"):
            WebServer(Session(served.stage, Settings(served.home)), bound, token="short")
