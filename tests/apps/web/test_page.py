"""The page as a person uses it, in headless Chromium, down to the files in the home."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Page, expect

pytestmark = pytest.mark.anyio

INVITE = """\
1. get_email_address(name="Maya Okafor")
2. get_email_address(name="Thandiwe")
3. create_calendar_event(title="Budget review", start_date="2026-11-23 10:00", \
end_date="2026-11-23 11:30", invitees=[$1, $2])
4. join()"""
DESKTOP = {"width": 1280, "height": 860}
PHONE = {"width": 375, "height": 740}

OpenPage = Callable[..., Awaitable[Page]]


async def ask(page: Page, text: str) -> None:
    await page.get_by_label("Your request").fill(text)
    await page.get_by_role("button", name="Send").click()


async def overflow(page: Page) -> int:
    width: int = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return width


async def test_a_request_becomes_a_plan_and_what_is_approved_stands_in_the_calendar(
    serve: Any, open_page: OpenPage
) -> None:
    async with serve(INVITE) as served:
        page = await open_page(served)
        assert "token" not in page.url
        calendar = served.home / "calendars" / "Personal.ics"
        before = calendar.read_text()
        await ask(page, "Invite Thandiwe and Maya Okafor to a budget review on Monday from 10 to 11:30")
        graph = page.get_by_role("img", name=re.compile("Plan of 3 calls"))
        await expect(graph).to_be_visible()
        await expect(graph.locator(".node.ok")).to_have_count(2)
        await expect(graph.locator(".node.waiting")).to_have_count(1)
        assert calendar.read_text() == before
        question = page.get_by_role("group", name="This waits for your approval")
        await expect(question).to_contain_text("Create the event “Budget review” from 2026-11-23 10:00")
        await question.get_by_role("button", name="Approve").click()
        await expect(graph.locator(".node.ok")).to_have_count(3)
        await expect(page.locator(".answer")).to_be_visible()
        written = "".join(path.read_text() for path in (served.home / "calendars").glob("*.ics"))
        assert "SUMMARY:Budget review" in written
        await expect(page.get_by_role("button", name="Send")).to_be_visible()


async def test_some_calls_are_approved_one_with_an_edited_argument(serve: Any, open_page: OpenPage) -> None:
    plan = """\
1. create_note(name="One", content="first")
2. create_note(name="Two", content="second")
3. join()"""
    async with serve(plan) as served:
        page = await open_page(served)
        await ask(page, "Write two notes")
        question = page.get_by_role("group", name="These 2 wait for your approval")
        await question.get_by_role("checkbox", name=re.compile("“Two”")).uncheck()
        await question.get_by_text("Arguments of create note").first.click()
        await question.get_by_role("button", name="Edit content").first.click()
        await question.get_by_role("textbox", name="content").fill("mended")
        await question.get_by_role("button", name="Approve 1, decline 1").click()
        await expect(page.get_by_text("What you decided")).to_be_visible()
        await expect(page.get_by_role("button", name="Send")).to_be_visible()
        notes = {path.stem: path.read_text() for path in (served.home / "notes").rglob("*.md")}
    assert "mended" in notes["One"]
    assert "Two" not in notes


async def test_a_reference_in_an_edited_text_is_filled_in_and_an_escaped_one_is_not(
    serve: Any, open_page: OpenPage
) -> None:
    plan = """\
1. create_note(name="One", content="first")
2. create_note(name="Two", content="see ${1}")
3. join()"""
    async with serve(plan) as served:
        page = await open_page(served)
        await ask(page, "Write two notes")
        question = page.get_by_role("group", name="These 2 wait for your approval")
        await expect(question).to_contain_text("Create the note “Two”, saying “see [the result of 1]”")
        await question.get_by_text("Arguments of create note").last.click()
        await expect(question).to_contain_text("The result of step 1 is filled in when it is there")
        await question.get_by_role("button", name="Edit content").last.click()
        content = question.get_by_role("textbox", name="content")
        await expect(content).to_have_value("see ${1}")
        await content.fill("see ${7}")
        await question.get_by_role("button", name="Approve all 2").click()
        await expect(question.get_by_role("alert")).to_contain_text(r"write \${7} for just these characters")
        await content.fill(r"see ${1}, not \${1}")
        await question.get_by_role("button", name="Approve all 2").click()
        await expect(page.get_by_role("button", name="Send")).to_be_visible()
        notes = {path.stem: path.read_text() for path in (served.home / "notes").rglob("*.md")}
    assert "see Created the note 'One', not ${1}" in notes["Two"]


async def test_what_is_written_from_a_result_is_asked_about_when_that_is_there(
    serve: Any, open_page: OpenPage
) -> None:
    plan = """\
1. create_note(name="One", content="first")
2. create_note(name="Two", content="Summarize ${1}")
3. join()"""
    async with serve(plan, writes=["In short."]) as served:
        page = await open_page(served)
        await ask(page, "Write a note about a note")
        question = page.get_by_role("group", name="This waits for your approval")
        await expect(question).to_contain_text(
            "Step 2 is written from results, and you are asked about it then"
        )
        await question.get_by_role("button", name="Approve").click()
        await expect(question).to_contain_text("Create the note “Two”, saying “In short.”")
        await expect(question).to_contain_text("Written for you from “Summarize Created the note 'One'”")
        await expect(page.get_by_text("you are asked about it then")).not_to_be_visible()
        assert not list((served.home / "notes").rglob("Two.md"))
        await question.get_by_role("button", name="Approve").click()
        await expect(page.get_by_role("button", name="Send")).to_be_visible()
        (note,) = (served.home / "notes").rglob("Two.md")
        assert "In short." in note.read_text()


async def test_words_of_others_are_marked_not_chosen_beforehand_and_never_html(
    serve: Any, open_page: OpenPage
) -> None:
    plan = '1. read_page(url="a")\n2. send(to="sid@example.com", text=$1)\n3. join()'
    async with serve(plan) as served:
        page = await open_page(served)
        await ask(page, "Send page a to Sid")
        question = page.get_by_role("group", name="This waits for your approval")
        await expect(question).to_contain_text("written by others")
        await expect(question).to_contain_text("<img src=x onerror=alert(1)>")
        await expect(question.get_by_role("checkbox")).not_to_be_checked()
        await expect(question.get_by_role("button", name="Approve")).to_be_disabled()
        assert await page.locator("main img").count() == 0
        await question.get_by_role("button", name="Decline").click()
        await expect(page.get_by_role("button", name="Send")).to_be_visible()
        assert served.stage.sent == []


async def test_a_reply_shows_to_whom_it_goes_before_it_is_approved(serve: Any, open_page: OpenPage) -> None:
    async with serve('1. reply_to_email(context="Yes")\n2. join()') as served:
        page = await open_page(served)
        await ask(page, "Say yes")
        question = page.get_by_role("group", name="This waits for your approval")
        await expect(question).to_contain_text("(Maya Lindqvist)")
        marked = question.locator("dl > .untrusted")
        await expect(marked).to_have_count(2)
        await expect(marked.last).to_contain_text("Re: Papers for the board")
        await expect(question.get_by_role("checkbox")).not_to_be_checked()
        assert not (served.home / "mail" / "Drafts").exists()
        await question.get_by_role("button", name="Decline").click()


async def test_everything_can_be_done_by_keyboard(serve: Any, open_page: OpenPage) -> None:
    plan = '1. create_note(name="Trip", content="Bring the map")\n2. join()'
    async with serve(plan) as served:
        page = await open_page(served)
        await expect(page.get_by_label("Your request")).to_be_focused()
        await page.keyboard.type("A note for the trip")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("status")).to_contain_text("Your approval is needed")
        approve = page.get_by_role("button", name="Approve")
        for _ in range(12):
            await page.keyboard.press("Shift+Tab")
            if await approve.evaluate("button => button === document.activeElement"):
                break
        await page.keyboard.press("Enter")
        await expect(page.locator(".answer")).to_be_visible()
        await page.get_by_role("button", name="Settings").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog", name="Settings")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(page.get_by_role("button", name="Settings")).to_be_focused()


async def test_a_page_that_is_opened_again_shows_the_same_and_can_decide(
    serve: Any, open_page: OpenPage
) -> None:
    async with serve(INVITE) as served:
        page = await open_page(served)
        await ask(page, "Invite them")
        await expect(page.get_by_role("group", name="This waits")).to_be_visible()
        await page.reload()
        await expect(page.get_by_role("img", name=re.compile("Plan of 3 calls"))).to_be_visible()
        other = await open_page(served, viewport=PHONE)
        await other.get_by_role("button", name="Approve").click()
        for shown in (page, other):
            await expect(shown.locator(".node.ok")).to_have_count(3)
            await expect(shown.get_by_role("group", name="What you decided")).to_be_visible()
            await expect(shown.locator("article")).to_have_count(1)


async def test_a_turn_is_stopped_and_the_next_conversation_begins_empty(
    serve: Any, open_page: OpenPage
) -> None:
    async with serve("1. wait()\n2. join()") as served:
        page = await open_page(served)
        await ask(page, "Wait")
        await served.stage.waiting.wait()
        await page.get_by_role("button", name="Stop").click()
        await expect(page.locator(".answer")).to_contain_text("cancelled")
        await page.get_by_role("button", name="New").click()
        await expect(page.get_by_role("heading", name="What shall I do?")).to_be_visible()
        await expect(page.locator("article")).to_have_count(0)


async def test_settings_are_changed_and_what_is_wrong_is_said(serve: Any, open_page: OpenPage) -> None:
    async with serve(INVITE) as served:
        page = await open_page(served)
        await page.get_by_role("button", name="Settings").click()
        settings = page.get_by_role("dialog", name="Settings")
        await expect(settings).to_contain_text("Changes last until plait serve ends.")
        await settings.get_by_label("Custom instructions").fill("Be brief.")
        await settings.get_by_role("checkbox", name=re.compile("^Send sends")).uncheck()
        await settings.get_by_label("Model").fill("broken")
        await settings.get_by_role("button", name="Save").click()
        await expect(settings.get_by_role("alert")).to_have_text("there is no model 'broken'")
        await settings.get_by_label("Model").fill("other")
        await settings.get_by_role("button", name="Save").click()
        await expect(settings).to_be_hidden()
        assert served.session.settings.instructions == "Be brief."
        assert served.session.settings.tools_off == {"send"}
        await expect(page.locator("#model")).to_have_text("other")


async def test_history_shows_what_was_asked_and_called(serve: Any, open_page: OpenPage) -> None:
    async with serve('1. get_email_address(name="Maya Okafor")\n2. join()') as served:
        page = await open_page(served)
        await ask(page, "What is Maya's address?")
        await expect(page.locator(".answer")).to_be_visible()
        await page.get_by_role("button", name="History").click()
        history = page.get_by_role("dialog", name="History")
        await expect(history.get_by_role("heading", name="What is Maya's address?")).to_be_visible()
        await expect(history).to_contain_text("Get email address done")


async def test_history_undoes_what_was_written(serve: Any, open_page: OpenPage) -> None:
    plan = '1. create_note(name="Trip", content="Bring the map")\n2. join()'
    async with serve(plan, is_asking=False) as served:
        page = await open_page(served)
        await ask(page, "Note that I bring the map")
        await expect(page.locator(".answer")).to_be_visible()
        await page.get_by_role("button", name="History").click()
        history = page.get_by_role("dialog", name="History")
        await history.get_by_role("button", name="Undo Create note").click()
        await expect(history.get_by_role("status")).to_contain_text("Trip")
        await expect(history).to_contain_text("Create note, undone")
        await expect(history.get_by_role("button", name="Undo Create note")).to_have_count(0)
        assert not (served.home / "notes" / "Trip.md").exists()


def wide_plan(n: int) -> str:
    lines = [f'{i}. get_email_address(name="Maya Okafor")' for i in range(1, n)]
    body = " and ".join(f"${{{i}}}" for i in range(1, n)) or "nobody"
    return "\n".join([*lines, f'{n}. create_note(name="All", content="{body}")', f"{n + 1}. join()"])


def deep_plan(n: int) -> str:
    lines = ['1. get_email_address(name="Maya Okafor")']
    lines += [f'{i}. create_note(name="N{i}", content="after ${{{i - 1}}}")' for i in range(2, n + 1)]
    return "\n".join([*lines, f"{n + 1}. join()"])


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("plan", [wide_plan(1), wide_plan(12), deep_plan(12)], ids=["one", "wide", "deep"])
async def test_plans_are_readable_at_every_width(
    serve: Any, open_page: OpenPage, plan: str, viewport: dict[str, int]
) -> None:
    async with serve(plan) as served:
        page = await open_page(served, viewport=viewport)
        await ask(page, "Do it")
        await expect(page.locator(".node.waiting").first).to_be_visible()
        assert await overflow(page) <= 0
        boxes = [await node.bounding_box() for node in await page.locator(".node rect").all()]
        assert all(box is not None and box["width"] >= 120 for box in boxes)
        for i, a in enumerate(boxes):
            for b in boxes[i + 1 :]:
                assert a is not None
                assert b is not None
                apart_x = a["x"] + a["width"] <= b["x"] or b["x"] + b["width"] <= a["x"]
                assert apart_x or a["y"] + a["height"] <= b["y"] or b["y"] + b["height"] <= a["y"]


async def test_the_whole_page_is_small_and_comes_from_here(serve: Any, open_page: OpenPage) -> None:
    async with serve() as served:
        asked: list[str] = []
        n_bytes = 0
        page = await open_page(served)
        page.on("request", lambda request: asked.append(request.url))
        await page.reload()
        await expect(page.get_by_role("heading", name="What shall I do?")).to_be_visible()
        for path in ("/", *(url.removeprefix(served.server.address) for url in asked if "/page/" in url)):
            n_bytes += len((await served.client.get(path)).content)
        assert {url.startswith(served.server.address) for url in asked} == {True}
        assert n_bytes < 300_000
