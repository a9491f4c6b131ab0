import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from plait.errors import ContextLengthError, ModelServerError
from plait.models import _probe, _server_options
from plait.models._http import HTTPModel
from plait.models._types import Grammar, Message

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
PLANNER = [Message.instructions("You write plans."), Message("user", "hello")]
JOINER = [Message.instructions("You answer questions."), Message("user", "hello")]
GRAMMAR = Grammar(gbnf='root ::= "x"', json_schema={"type": "object"})
LONG = [Message("user", "word " * 20)]  # 42 tokens by the estimate
LONG_AS_SENT = [{"role": "user", "content": "word " * 20}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@dataclass
class Played:
    """A model server that gives these answers, holds those that it is told to, and streams "ok"."""

    wire: Any
    answers: dict[str, Any]
    statuses: dict[str, int] = field(default_factory=dict)
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    bodies: list[tuple[str, Any]] = field(default_factory=list)
    arrivals: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    async def __call__(self, received, response) -> None:
        self.asked.append(received.path)
        if received.method == "POST":
            self.bodies.append((received.path, received.body))
        self.arrivals.put_nowait(received.path)
        if received.path in self.held:
            await self.held[received.path].wait()
        if received.path in self.answers:
            status = self.statuses.get(received.path, 200)
            await response.json(self.answers[received.path], status=status)
        elif received.path == CHAT:
            await response.chunks(self.wire.text("ok", "stop"))
        else:
            await response.json({"error": {"code": 404, "message": "File Not Found"}}, status=404)

    @property
    def chats(self) -> list[Any]:
        return [body for path, body in self.bodies if path == CHAT]


def slots(*busy: bool) -> list[dict[str, Any]]:
    return [{"id": i, "is_processing": is_busy, "speculative": False} for i, is_busy in enumerate(busy)]


def llama(n_slots: int = 4, n_ctx: int = 4096, **answers) -> dict[str, Any]:
    props = {"default_generation_settings": {"n_ctx": n_ctx}, "total_slots": n_slots, "build_info": "b9744"}
    return {"/props": props, "/slots": slots(*[False] * n_slots)} | answers


def vllm(version: str = "0.12.0", max_model_len: int = 4096, **answers) -> dict[str, Any]:
    models = {"data": [{"id": "m", "owned_by": "vllm", "max_model_len": max_model_len}]}
    return {"/v1/models": models, "/version": {"version": version}} | answers


@pytest.fixture
def play(open_server, wire):
    """Connect to a server that gives these answers, and do something with the model."""

    async def play(do, answers, statuses=None, held=(), **options):
        played = Played(wire, answers, statuses or {}, {path: asyncio.Event() for path in held})
        async with open_server(played) as server, asyncio.timeout(10):
            model = await HTTPModel.connect("m", base_url=server.url, retries=0, **options)
            try:
                await do(model, played)
            finally:
                for event in played.held.values():
                    event.set()
                await model.aclose()
        return played

    return play


async def ask(model: HTTPModel, *prompts: list[Message]) -> None:
    for prompt in prompts:
        assert await model.stream(prompt).text() == "ok"


async def test_each_kind_of_prompt_keeps_its_slot(play) -> None:
    async def do(model, played):
        await ask(model, PLANNER, JOINER, [PLANNER[0], Message("user", "bye")], JOINER)

    played = await play(do, llama())
    planner, joiner, planner_again, joiner_again = (chat["id_slot"] for chat in played.chats)
    assert planner == planner_again != joiner == joiner_again
    assert all(chat["cache_prompt"] is True for chat in played.chats)


async def test_two_processes_give_a_kind_the_same_slot(play) -> None:
    async def do(model, played):
        await ask(model, PLANNER)

    first, second = await play(do, llama()), await play(do, llama())
    assert first.chats == second.chats


async def test_a_server_with_one_slot_is_not_asked_which(play) -> None:
    async def do(model, played):
        await ask(model, PLANNER, JOINER)

    played = await play(do, llama(n_slots=1))
    assert played.asked == ["/props", "/slots", CHAT, CHAT]
    assert not any("id_slot" in chat for chat in played.chats)
    assert all(chat["cache_prompt"] is True for chat in played.chats)


async def test_a_prompt_without_a_static_part_goes_where_the_server_likes(play) -> None:
    async def do(model, played):
        await ask(model, [Message("user", "hello")])

    played = await play(do, llama())
    assert played.asked == ["/props", "/slots", CHAT]
    assert "id_slot" not in played.chats[0]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"error": {"code": 501, "message": "This server does not support slots endpoint."}}, 501),
        ({"error": {"code": 401, "message": "Invalid API Key"}}, 401),
        ({"error": {"code": 503, "message": "busy"}}, 503),
        ({"slots": 4}, 200),
        ([{"id": 0, "state": 0}, {"id": 1, "state": 0}], 200),
    ],
)
async def test_a_server_that_does_not_tell_its_slots_chooses_them(play, answer, status) -> None:
    async def do(model, played):
        await ask(model, PLANNER)

    played = await play(do, llama() | {"/slots": answer}, {"/slots": status})
    assert "id_slot" not in played.chats[0]
    assert played.chats[0]["cache_prompt"] is True


async def test_no_request_waits_for_a_slot_that_someone_else_uses(play) -> None:
    async def do(model, played):
        await ask(model, PLANNER)
        home = played.chats[0]["id_slot"]
        played.answers["/slots"] = slots(*(slot == home for slot in range(4)))
        await ask(model, PLANNER)
        played.answers["/slots"] = slots(True, True, True, True)
        await ask(model, PLANNER)

    played = await play(do, llama())
    first, second, third = played.chats
    assert second["id_slot"] != first["id_slot"]
    assert "id_slot" not in third


async def test_a_server_that_was_restarted_with_one_slot_is_given_no_slot(play) -> None:
    async def do(model, played):
        played.answers["/slots"] = slots(False)
        await ask(model, PLANNER)

    played = await play(do, llama())
    assert "id_slot" not in played.chats[0]


async def test_requests_at_the_same_time_are_given_different_slots(play) -> None:
    async def do(model, played):
        answers = [asyncio.create_task(model.stream(PLANNER).text()) for _ in range(3)]
        while len(played.chats) < 3:
            await played.arrivals.get()
        played.held[CHAT].set()
        assert await asyncio.gather(*answers) == ["ok"] * 3

    played = await play(do, llama(n_slots=2), held=[CHAT])
    assert sorted(chat.get("id_slot", -1) for chat in played.chats) == [-1, 0, 1]


async def test_a_slot_is_free_again_when_its_request_failed_or_was_left(play) -> None:
    async def do(model, played):
        played.statuses[CHAT], played.answers[CHAT] = 500, {"error": {"message": "broken"}}
        for _ in range(3):
            with pytest.raises(ModelServerError, match="broken"):
                await model.stream(PLANNER).text()
        del played.answers[CHAT]
        for _ in range(3):
            generation = model.stream(PLANNER)
            assert await anext(aiter(generation)) == "ok"
            await generation.aclose()

    played = await play(do, llama(n_slots=2))
    assert len({chat["id_slot"] for chat in played.chats}) == 1


async def test_a_slow_answer_about_slots_does_not_hold_a_request_up(play, monkeypatch) -> None:
    async def do(model, played):
        monkeypatch.setattr(_server_options, "_SLOTS_TIMEOUT_S", 0.01)
        played.held["/slots"] = asyncio.Event()
        await ask(model, PLANNER)

    played = await play(do, llama())
    assert "id_slot" not in played.chats[0]


async def test_your_own_fields_count_more_than_what_the_server_offers(play) -> None:
    async def do(model, played):
        await ask(model, PLANNER)

    played = await play(do, llama(), extra_body={"id_slot": 3, "cache_prompt": None})
    assert played.asked == ["/props", "/slots", CHAT]
    assert played.chats[0]["id_slot"] == 3
    assert "cache_prompt" not in played.chats[0]


OLLAMA = {"/api/version": {"version": "0.12.3"}}


@pytest.mark.parametrize("answers", [{}, OLLAMA, vllm()], ids=["openai", "ollama", "vllm"])
async def test_other_servers_are_sent_no_field_of_llama_servers(play, answers) -> None:
    async def do(model, played):
        await ask(model, PLANNER)

    played = await play(do, answers)
    assert set(played.chats[0]) == {"model", "messages", "stream", "stream_options", "temperature"}


@pytest.mark.parametrize(
    ("version", "fields"),
    [
        ("0.12.0", {"structured_outputs": {"grammar": 'root ::= "x"'}}),
        ("0.10.2", {"guided_grammar": 'root ::= "x"'}),
    ],
)
async def test_each_vllm_is_given_the_grammar_in_the_field_that_it_reads(play, version, fields) -> None:
    async def do(model, played):
        assert await model.stream(PLANNER, grammar=GRAMMAR).text() == "ok"

    played = await play(do, vllm(version))
    assert {name: played.chats[0].get(name) for name in fields} == fields
    assert "response_format" not in played.chats[0]


COUNTERS = {
    "a new llama-server": llama(n_ctx=30) | {f"{CHAT}/input_tokens": {"input_tokens": 25}},
    "an old llama-server": llama(n_ctx=30)
    | {"/apply-template": {"prompt": "rendered"}, "/tokenize": {"tokens": list(range(25))}},
    "vllm": vllm(max_model_len=30) | {"/tokenize": {"count": 25, "max_model_len": 30, "tokens": [1]}},
}


@pytest.mark.parametrize("answers", COUNTERS.values(), ids=COUNTERS)
async def test_a_prompt_is_refused_only_if_the_server_counts_too_many_tokens(play, answers) -> None:
    async def do(model, played):
        assert model.count_tokens(LONG) > 30
        assert await model.stream(LONG, max_tokens=5).text() == "ok"
        with pytest.raises(ContextLengthError) as caught:
            await model.stream(LONG, max_tokens=6).text()
        assert (caught.value.n_prompt, caught.value.n_answer, caught.value.context_length) == (25, 6, 30)

    played = await play(do, answers)
    assert len(played.chats) == 1


async def test_the_server_counts_what_it_will_be_sent(play) -> None:
    async def do(model, played):
        await model.stream(LONG, tools=[TOOL]).text()

    played = await play(do, COUNTERS["an old llama-server"])
    request = {"model": "m", "messages": LONG_AS_SENT, "tools": [TOOL]}
    text = {"model": "m", "content": "rendered", "add_special": True, "parse_special": True}
    assert played.bodies[:3] == [
        (f"{CHAT}/input_tokens", request),
        ("/apply-template", request),
        ("/tokenize", text),
    ]


async def test_nothing_is_counted_for_a_prompt_that_fits_by_the_estimate(play) -> None:
    async def do(model, played):
        await ask(model, LONG)

    played = await play(do, llama())
    assert [path for path, _ in played.bodies] == [CHAT]


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"/tokenize": {"tokens": [1]}},
        {"/apply-template": {"prompt": None}},
        {"/apply-template": {"prompt": "p"}, "/tokenize": {"tokens": 7}},
        {"/apply-template": {"prompt": "p"}, "/tokenize": ["odd"]},
        {f"{CHAT}/input_tokens": {"input_tokens": -1}},
        {f"{CHAT}/input_tokens": {"input_tokens": "25"}},
    ],
)
async def test_the_estimate_stands_if_the_server_does_not_count(play, answers) -> None:
    async def do(model, played):
        with pytest.raises(ContextLengthError) as caught:
            await model.stream(LONG).text()
        assert caught.value.n_prompt == model.count_tokens(LONG)

    played = await play(do, llama(n_ctx=30) | answers)
    assert not played.chats


async def test_a_router_is_asked_about_the_model(play) -> None:
    async def do(model, played):
        assert model.context_length == 2048
        facts = await model.facts()
        assert (facts.is_router, facts.n_slots, facts.version) == (True, 2, "b9744")
        await ask(model, PLANNER)

    router = {"role": "router", "default_generation_settings": {"params": {}, "n_ctx": 0}, "total_slots": 1}
    model = llama(n_slots=2, n_ctx=2048)
    answers = {"/props": router, "/props?model=m": model["/props"], "/slots?model=m": model["/slots"]}
    played = await play(do, answers)
    assert played.asked == ["/props", "/props?model=m", "/slots?model=m", "/slots?model=m", CHAT]
    assert played.chats[0]["id_slot"] in {0, 1}


async def test_what_connect_found_is_told_without_asking_again(play) -> None:
    async def do(model, played):
        n_asked = len(played.asked)
        facts = await model.facts()
        assert (facts.server, facts.version, facts.n_slots) == ("llama-server", "b9744", 4)
        assert (facts.caches_prefixes, facts.drafts) == (True, False)
        assert len(played.asked) == n_asked

    await play(do, llama())


async def test_a_model_that_was_not_connected_asks_when_it_is_asked(open_server, wire) -> None:
    played = Played(wire, llama())
    async with open_server(played) as server:
        model = HTTPModel("m", base_url=server.url, server="llama-server", context_length=99)
        await ask(model, PLANNER)
        assert "id_slot" not in played.chats[0]
        assert played.chats[0]["cache_prompt"] is True
        for _ in range(2):
            assert (await model.facts()).n_slots == 4
        await ask(model, PLANNER)
        assert played.chats[1]["id_slot"] in range(4)
        assert (model.grammar_kind, model.context_length) == (None, 99)
        assert played.asked == [CHAT, "/props", "/slots", "/slots", CHAT]
        await model.aclose()


async def test_vllm_tells_what_it_was_started_with(play, open_server, wire) -> None:
    metrics = (
        'vllm:cache_config_info{enable_prefix_caching="True"} 1.0\n'
        'vllm:spec_decode_num_drafts_total{model_name="m"} 7.0\n'
    )
    played = Played(wire, vllm("0.21.0"))

    async def handler(received, response):
        if received.path == "/metrics":
            await response.raw(metrics.encode(), content_type="text/plain")
        else:
            await played(received, response)

    async with open_server(handler) as server:
        model = await HTTPModel.connect("m", base_url=server.url)
        facts = await model.facts()
        await model.aclose()
    assert (facts.server, facts.version, facts.grammar_kind) == ("vllm", "0.21.0", "gbnf")
    assert (facts.caches_prefixes, facts.drafts, facts.context_length) == (True, True, 4096)


async def test_a_vllm_without_metrics_is_used_all_the_same(play) -> None:
    async def do(model, played):
        facts = await model.facts()
        assert (facts.caches_prefixes, facts.drafts, facts.grammar_kind) == (None, None, "gbnf")

    await play(do, vllm())


async def test_connect_does_not_wait_long_for_what_it_need_not_know(play, monkeypatch) -> None:
    monkeypatch.setattr(_probe, "_OPTIONAL_TIMEOUT_S", 0.01)

    async def do(model, played):
        facts = await model.facts()
        assert (facts.server, facts.n_slots, facts.tells_idle_slots) == ("llama-server", 4, False)

    await play(do, llama(), held=["/slots"])


@pytest.mark.parametrize("wrong", ["4096", True, -1, 0, None, [4096]])
async def test_a_context_length_of_the_wrong_type_is_not_believed(play, wrong) -> None:
    async def do(model, played):
        assert model.context_length == 8192
        await ask(model, PLANNER)

    await play(do, llama(n_ctx=wrong))
    await play(do, vllm(max_model_len=wrong))
