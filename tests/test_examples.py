"""Each example is run, with a scripted model in the place of the real one, down to what it prints."""

import importlib.util
import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from plait import ScriptedModel

EXAMPLES = Path(__file__).parents[1] / "examples"

Load = Callable[[str], ModuleType]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """The module of an example, loaded afresh and not run."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    return load


def test_every_example_has_a_test_and_says_how_to_start_it(request: pytest.FixtureRequest) -> None:
    tested = {name for name in dir(request.module) if name.startswith("test_")}
    for path in EXAMPLES.glob("*.py"):
        assert any(name.startswith(f"test_{path.stem}_") for name in tested), path.name
        assert f"python examples/{path.name}" in path.read_text(encoding="utf-8")


def test_own_tools_answers_from_stock_and_converted_price(
    load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = """\
1. stock(product="honey")
2. price(product="honey")
3. convert_euros(amount=$2, currency="USD")
4. join()"""
    answer = "There are 14 jars; one costs 9.24 USD."
    run = load("own_tools").main(model=ScriptedModel([plan, f"Answer: {answer}"]))
    assert run.ok
    assert capsys.readouterr().out == f"{plan}\n1: ok, 14\n2: ok, 8.5\n3: ok, 9.24 USD\n{answer}\n"


def test_own_tools_says_what_the_shop_has_when_it_lacks_a_product(load: Load) -> None:
    plans = ['1. stock(product="jam")\n2. join()', '2. stock(product="honey")\n3. join()']
    model = ScriptedModel(plans)
    run = load("own_tools").main(model=model)
    assert (
        "the shop has no 'jam'; it has honey, olive oil, sea salt" in model.requests[1].messages[-1].content
    )
    assert (run.answer, run.replans, run.ok) == ("14", 1, True)


def test_streaming_events_prints_calls_that_start_before_the_plan_is_complete(
    load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = '1. wind(harbour="Brest")\n2. wind(harbour="Cork")\n3. high_water(harbour="Cork")\n4. join()'
    answer = "In Cork, with 24 knots; high water there is at 06:45."
    load("streaming_events").main(model=ScriptedModel([plan, f"Answer: {answer}"]))
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [answer, "3 calls, 0 replans, ok: True"]
    assert lines.index("started  1 {'harbour': 'Brest'}") < lines.index("the plan is complete")
    assert {"finished 1 17", "finished 2 24", "finished 3 06:45"} <= set(lines)


def test_langchain_tools_are_called_and_the_agent_is_a_step_of_a_chain(
    load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = """\
1. postage(kilograms=1.2, country="Portugal")
2. postage(kilograms=0.8, country="Portugal")
3. add(amounts=[$1, $2])
4. join()"""
    load("langchain_tools").main(model=ScriptedModel([plan]))
    assert capsys.readouterr().out == "3 calls gave: 14.0\n"


REFUND = """\
1. order_total(order={order})
2. customer_email(order={order})
3. refund(order={order}, amount=$1)
4. send_email(to=$2, subject="Your refund", text="We have refunded ${{1}} euros.")
5. join()"""


def test_approval_is_given_by_rule_and_the_rest_is_asked_about(
    load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def ask(question: str) -> str:
        asked.append(question)
        return "y"

    run = load("approval").main(model=ScriptedModel([REFUND.format(order=1042)]), ask=ask)
    assert run.answer == "Refunded 36.40 euros of order 1042\nSent 'Your refund' to maya@example.org"
    assert len(asked) == 1
    out = capsys.readouterr().out
    assert "3. refund {'order': 1042, 'amount': 36.4}\n   approved: a small refund" in out
    assert "'text': 'We have refunded 36.4 euros.'" in out


def test_approval_that_is_declined_calls_nothing_and_says_so(load: Load) -> None:
    run = load("approval").main(model=ScriptedModel([REFUND.format(order=1043)]), ask=lambda _: "n")
    assert [outcome.status for outcome in run.tasks] == ["ok", "ok", "declined", "declined"]
    assert run.answer == "Not done: refund was declined\nNot done: send_email was declined"


class ModelServer(BaseHTTPRequestHandler):
    """Plays llama-server: says what it is, and streams ``answer`` in two chunks."""

    answer = ""
    requests: list[dict[str, Any]]

    def do_GET(self) -> None:
        self._send("application/json", json.dumps({"default_generation_settings": {"n_ctx": 4096}}))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.requests.append(json.loads(body))
        half = len(self.answer) // 2
        deltas = [{"content": self.answer[:half]}, {"content": self.answer[half:]}, {}]
        chunks = [{"choices": [{"delta": d, "finish_reason": None if d else "stop"}]} for d in deltas]
        events = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
        self._send("text/event-stream", "".join([*events, "data: [DONE]\n\n"]))

    def _send(self, content_type: str, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep quiet."""


@pytest.fixture
def serve() -> Iterator[Callable[[str], tuple[str, list[dict[str, Any]]]]]:
    """Start a model server with an answer; its address, and the requests that it is sent."""
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def serve(answer: str) -> tuple[str, list[dict[str, Any]]]:
        requests: list[dict[str, Any]] = []
        handler = type("Handler", (ModelServer,), {"answer": answer, "requests": requests})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/v1", requests

    yield serve
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def test_own_planner_model_http_plans_on_the_server_and_answers_with_the_other_model(
    load: Load, serve: Callable[[str], tuple[str, list[dict[str, Any]]]], capsys: pytest.CaptureFixture[str]
) -> None:
    plan = """\
1. scale(amount=500, from_servings=4, to_servings=6)
2. scale(amount=2, from_servings=4, to_servings=6)
3. to_millilitres(amount=$2, unit="cup")
4. join()"""
    url, requests = serve(plan)
    local = ScriptedModel(["Answer: 750 g of flour and 709.8 ml of milk."])
    load("own_planner_model_http").main(model=local, base_url=url, planner_model="big")
    assert capsys.readouterr().out == (
        f"big on llama-server, 4096 tokens, grammar: gbnf\n{plan}\n750 g of flour and 709.8 ml of milk.\n"
    )
    assert [request["model"] for request in requests] == ["big"]
    assert requests[0]["grammar"].startswith("root ::=")
    assert len(local.requests) == 1
