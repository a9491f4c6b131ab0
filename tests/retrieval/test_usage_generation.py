"""Usages that a model writes: what it is asked, what is kept, and going on after a kill."""

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from retrieval_samples import TOOLS, USAGES

from plait.errors import ConfigurationError, ContextLengthError, ModelError
from plait.models import Generation, LlamaModel, Message, Reply, ScriptedModel
from plait.retrieval import HashingEncoder, Tool2Vec, Usage, generate_usages
from plait.retrieval._name_leaks import names_tool
from plait.retrieval._usage_checks import UsageChecker
from plait.retrieval._usage_prompts import numbered, read_requests, requests_grammar
from plait.tools import Toolbox

pytestmark = pytest.mark.anyio

REQUESTS = {
    "get_weather": ["what is the forecast for a city like Faro", "the city forecast for Sunday please"],
    "sendMail": ["send Sid a letter about the lease", "post Maya a letter of thanks"],
    "add": ["what is the sum of two numbers, 3 and 4", "the sum of the numbers 80 and 12"],
    "play_song": ["play some music by Nina Simone", "music for dinner, play it low"],
}
BOX = Toolbox(TOOLS)
INDEX = Tool2Vec.fit(BOX, (), HashingEncoder())


def asked_of(messages: Sequence[Message]) -> list[str]:
    """The tools of a prompt's last turn."""
    return re.findall(r"^- (\w+)\(", messages[-1].content, re.MULTILINE)


def writer(messages: Sequence[Message]) -> str:
    """Writes what is in ``REQUESTS``; polishing adds a word."""
    found = re.search(r"Requests:\n(.*)", messages[-1].content, re.DOTALL)
    if found:
        return numbered([f"{request} now" for request in read_requests(found[1])])
    n = re.search(r"Write (\d+) requests", messages[-1].content)
    assert n is not None
    return numbered(REQUESTS[asked_of(messages)[0]][: int(n[1])])


def model(
    n: int = 99, write: Callable[[Sequence[Message]], str | Reply] = writer, kind: str | None = "lark"
) -> ScriptedModel:
    return ScriptedModel([write] * n, grammar_kind=kind)  # type: ignore[arg-type]


async def test_every_tool_gets_its_usages_polished() -> None:
    shown: list[tuple[int, int]] = []
    scripted = model()
    found = await generate_usages(
        INDEX, BOX, scripted, 1, progress=lambda done, all_: shown.append((done, all_))
    )
    assert {usage.tools: usage.query for usage in found.usages} == {
        (name,): f"{requests[0]} now" for name, requests in REQUESTS.items()
    }
    assert found.n_refused == {}
    assert shown == [(place, 4) for place in range(5)]
    assert all(request.grammar is not None for request in scripted.requests)


async def test_half_of_the_usages_need_a_tool_that_occurs_with_it() -> None:
    index = Tool2Vec.fit(BOX, USAGES, HashingEncoder())
    scripted = model()
    await generate_usages(index, BOX, scripted, 4)
    asked = [asked_of(request.messages) for request in scripted.requests]
    assert ["sendMail", "get_weather"] in asked
    assert ["sendMail"] in asked
    assert ["play_song"] in asked


async def test_tools_that_have_enough_are_left_alone() -> None:
    enough = [Usage(query, (name,)) for name, requests in REQUESTS.items() for query in requests[:1]]
    index = Tool2Vec.fit(BOX, enough, HashingEncoder())
    found = await generate_usages(index, BOX, model(0), 1)
    assert found.usages == ()


async def test_where_polishing_spoils_a_request_it_is_kept_as_it_was_written() -> None:
    def spoiling(messages: Sequence[Message]) -> str:
        spoiled = writer(messages)
        return (
            spoiled.replace(" now", " with get_weather") if "Requests:" in messages[-1].content else spoiled
        )

    box = Toolbox([BOX["get_weather"]])
    index = Tool2Vec.fit(box, (), HashingEncoder())
    found = await generate_usages(index, box, model(write=spoiling), 2)
    assert [usage.query for usage in found.usages] == REQUESTS["get_weather"]


async def test_polished_requests_of_another_number_are_not_mixed_up() -> None:
    def longer(messages: Sequence[Message]) -> str:
        return f"{writer(messages)}\n9. one more" if "Requests:" in messages[-1].content else writer(messages)

    found = await generate_usages(INDEX, BOX, model(write=longer), 1)
    assert [usage.query for usage in found.usages if usage.tools == ("add",)] == REQUESTS["add"][:1]


async def test_nonsense_is_refused_with_its_reason() -> None:
    found = await generate_usages(INDEX, BOX, model(write=lambda messages: "1. no()"), 1)
    assert found.usages == ()
    assert found.n_refused == {"no request": 4}
    assert (await generate_usages(INDEX, BOX, model(write=lambda messages: "hm"), 1)).usages == ()


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("the forecast for the city of Faro", None),
        ("hm", "no request"),
        ("word " * 61, "no request"),
        ("call get_weather for the city forecast", "names a tool"),
        ("get weather forecast for a city", "names a tool"),
        ("Please GET_WEATHER, city forecast", "names a tool"),
        ("will it rain in  Porto TOMORROW", "repeated"),
        ("play loud music in the morning, play it long", "finds other tools"),
    ],
)
def test_what_a_usage_is_refused_for(query: str, reason: str | None) -> None:
    more = [TOOLS["add"], TOOLS["play_song"], TOOLS["get_weather"], TOOLS["sendMail"]]
    index = Tool2Vec.fit(more, USAGES, HashingEncoder())
    checker = UsageChecker(index, BOX)
    checker._n_places = 1  # as of many tools
    assert checker.keep(Usage(query, ("get_weather",))) == reason


def test_a_usage_much_like_another_one_is_refused() -> None:
    checker = UsageChecker(INDEX, BOX)
    assert checker.keep(Usage("the city forecast for Faro", ("get_weather",))) is None
    assert checker.keep(Usage("the city forecast for Faro", ("get_weather",))) == "repeated"
    assert checker.keep(Usage("for Faro, the forecast city", ("get_weather",))) == "repeated"


def test_a_usage_much_like_one_of_the_index_is_refused() -> None:
    index = Tool2Vec.fit(BOX, [Usage("the city forecast for Faro", ("get_weather",))], HashingEncoder())
    checker = UsageChecker(index, BOX)
    assert checker.keep(Usage("for Faro, the forecast city", ("get_weather",))) == "repeated"


async def test_many_requests_are_asked_for_in_batches() -> None:
    numbers: list[int] = []

    def count(messages: Sequence[Message]) -> str:
        numbers.append(int(re.findall(r"Write (\d+) requests", messages[-1].content)[0]))
        return ""

    box = Toolbox([BOX["get_weather"]])
    await generate_usages(Tool2Vec.fit(box, (), HashingEncoder()), box, model(write=count), 23)
    assert numbers == [10, 10, 3]


async def test_a_tool_that_is_too_long_for_the_model_is_passed_over_and_named(tmp_path: Path) -> None:
    def refusing(messages: Sequence[Message]) -> str | Reply:
        if "add" in asked_of(messages):
            return Reply(error=ContextLengthError(n_prompt=9000, n_answer=80, context_length=8192))
        return writer(messages)

    journal = tmp_path / "journal.jsonl"
    found = await generate_usages(INDEX, BOX, model(write=refusing), 2, journal=journal)
    assert found.too_long == ("add",)
    assert found.n_refused == {"longer than the model's context": 2}
    assert {name for usage in found.usages for name in usage.tools} == {
        "get_weather",
        "sendMail",
        "play_song",
    }
    assert await generate_usages(INDEX, BOX, model(0), 2, journal=journal) == found


async def test_where_there_is_no_room_for_polishing_a_request_is_kept_as_it_was_written() -> None:
    def refusing(messages: Sequence[Message]) -> str | Reply:
        if "Requests:" in messages[-1].content:
            return Reply(error=ContextLengthError(n_prompt=9000, n_answer=80, context_length=8192))
        return writer(messages)

    found = await generate_usages(INDEX, BOX, model(write=refusing), 1)
    assert {usage.query for usage in found.usages} == {requests[0] for requests in REQUESTS.values()}


async def test_a_request_that_was_cut_off_is_not_kept() -> None:
    def endless(messages: Sequence[Message]) -> str:
        return "1. the city forecast for Faro\n2. the forecast for the city " + "and so on " * 200

    box = Toolbox([BOX["get_weather"]])
    index = Tool2Vec.fit(box, (), HashingEncoder())
    found = await generate_usages(index, box, model(write=endless), 2)
    assert [usage.query for usage in found.usages] == ["the city forecast for Faro"]
    assert found.n_refused == {}


async def test_what_another_model_wrote_or_for_another_number_is_not_taken(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    await generate_usages(INDEX, BOX, model(), 1, journal=journal)
    other = ScriptedModel([writer] * 8, grammar_kind="lark", name="another")
    await generate_usages(INDEX, BOX, other, 1, journal=journal)
    assert len(other.requests) == 8
    index = Tool2Vec.fit(
        BOX, USAGES[:1], HashingEncoder()
    )  # of get_weather one is missing, of the others two
    rest = model()
    await generate_usages(index, BOX, rest, 2, journal=journal)
    assert asked_of(rest.requests[0].messages) == ["add"]


@pytest.mark.parametrize(
    ("query", "name", "description"),
    [
        ("please use argsort on my array", "numpy.argsort", "The indices that would sort an array."),
        ("please use argsort on my array", "argsort", "The indices that would sort an array."),
        ("run np.linalg.norm on this", "numpy.linalg.norm", "Matrix or vector norm."),
        ("take linalg.norm of it", "numpy.linalg.norm", "Matrix or vector norm."),
        ("call describe_instances for me", "ec2.describe_instances", "Tells of machines."),
        ("use groupby on it", "pandas.DataFrame.groupby", "Group rows by a column."),
        ("run get_userid now", "get_user_id", "The number of a user."),
        ("run getUserID now", "get_user_id", "The number of a user."),
        ("run get-user-id now", "get_user_id", "The number of a user."),
        ("can you `sort` these names", "list.sort", "Sort items."),
        ("call names.sort for me", "list.sort", "Sort items."),
        ("use mcp.files.read_text here", "mcp__files__read_text", "The text of a file."),
    ],
)
def test_a_request_that_names_its_tool_is_told(query: str, name: str, description: str) -> None:
    assert names_tool(query, name, description)


@pytest.mark.parametrize(
    ("query", "name", "description"),
    [
        ("sort these names by length", "list.sort", "Sort items."),
        ("please sort these names", "sort", "Sorts items."),
        ("what is the mean of 3, 4 and 8", "numpy.mean", "Compute the arithmetic mean."),
        ("what is the vector norm of 3 and 4", "numpy.linalg.norm", "Matrix or vector norm."),
        ("who is the user with this id", "get_user_id", "The number of a user."),
        ("group the sales by city", "pandas.DataFrame.groupby", "Group rows by a column."),
        ("put these in order of size", "argsort", "The indices that would sort an array."),
        ("I have names. sort them", "list.sort", "Sort items."),
    ],
)
def test_words_that_people_use_name_no_tool(query: str, name: str, description: str) -> None:
    assert not names_tool(query, name, description)


async def test_who_was_interrupted_goes_on_where_he_was(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    failing = ScriptedModel([writer] * 4 + [Reply(error=ModelError("killed"))], grammar_kind="lark")
    with pytest.raises(ModelError, match="killed"):
        await generate_usages(INDEX, BOX, failing, 1, concurrency=1, journal=journal)
    with journal.open("a") as file:
        file.write('\n{"tool": "play_so')  # as a kill in the middle of a line leaves it
    rest = model(4)
    resumed = await generate_usages(INDEX, BOX, rest, 1, journal=journal)
    assert len(rest.requests) == 4
    assert resumed == await generate_usages(INDEX, BOX, model(), 1)
    assert resumed == await generate_usages(INDEX, BOX, model(0), 1, journal=journal)


@pytest.mark.parametrize("concurrency", [1, 2, 3, 8])
async def test_tools_are_written_for_at_a_time_and_what_is_kept_is_the_same(concurrency: int) -> None:
    under_way, most = 0, 0

    class Counting(ScriptedModel):
        def stream(self, messages: Sequence[Message], **options: Any) -> Generation:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            return super().stream(messages, **options)

    async def wait(chunk: int) -> None:
        nonlocal under_way
        for _ in range(20):
            await asyncio.sleep(0)
        if chunk == 0:
            under_way -= 1

    slow = Counting([writer] * 99, grammar_kind="lark", before_chunk=wait)
    found = await generate_usages(INDEX, BOX, slow, 1, concurrency=concurrency)
    assert found == await generate_usages(INDEX, BOX, model(), 1, concurrency=1)
    assert most == min(concurrency, len(BOX))


async def test_where_one_fails_the_others_are_stopped() -> None:
    def failing(messages: Sequence[Message]) -> str | Reply:
        return Reply(error=ModelError("gone")) if "add" in asked_of(messages) else writer(messages)

    before = asyncio.all_tasks()
    with pytest.raises(ModelError, match="gone"):
        await generate_usages(INDEX, BOX, model(write=failing), 1)
    assert asyncio.all_tasks() == before


async def test_a_tool_that_has_changed_is_written_for_again(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    await generate_usages(INDEX, BOX, model(), 1, journal=journal)
    other = Toolbox([BOX["add"], TOOLS["play_song"]])
    scripted = model(2)
    changed = Tool2Vec.fit(other, (), HashingEncoder())
    entries = changed.entries
    entries = type(entries)((type(entries.tools[0])("add", "sum of two numbers"), *entries.tools[1:]), ())
    await generate_usages(changed.with_entries(entries), other, scripted, 1, journal=journal)
    assert {asked_of(request.messages)[0] for request in scripted.requests} == {"add"}


async def test_no_usages_and_a_journal_that_is_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="ask for one or more"):
        await generate_usages(INDEX, BOX, model(0), 0)
    with pytest.raises(ConfigurationError, match="take one or more"):
        await generate_usages(INDEX, BOX, model(0), 1, concurrency=0)
    with pytest.raises(ConfigurationError, match="cannot be used"):
        await generate_usages(INDEX, BOX, model(), 1, journal=tmp_path)


@pytest.mark.parametrize(
    ("text", "requests"),
    [
        ("1. Text Sid\n2. 'Text Maya'", ["Text Sid", "Text Maya"]),
        ("Sure!\n1) Text Sid\nand so on", ["Text Sid"]),
        (json.dumps({"requests": ["Text  Sid", 3]}), ["Text Sid"]),
        ('{"requests": ["Text', []),
        ('{"other": 1}', []),
        ("", []),
    ],
)
def test_answers_are_read_in_every_form(text: str, requests: list[str]) -> None:
    assert read_requests(text) == requests


async def test_a_real_model_writes_as_many_requests_as_it_is_asked_for(smollm2: Path) -> None:
    box = Toolbox([BOX["get_weather"]])
    real = LlamaModel(smollm2, context_length=2048, prefix_cache=False)
    try:
        found = await generate_usages(Tool2Vec.fit(box, (), HashingEncoder()), box, real, 2)
    finally:
        await real.aclose()
    assert len(found.usages) + sum(found.n_refused.values()) == 2
    for usage in found.usages:
        assert "get_weather" not in usage.query


def test_the_grammar_counts_the_requests() -> None:
    grammar = requests_grammar(2)
    assert '"1. " LINE "\\n2. " LINE\n' in (grammar.lark or "")
    assert '"1. " line "\\n2. " line\n' in (grammar.gbnf or "")
