"""What a run may know of the conversation before it."""

import pytest

from plait import Agent, ScriptedModel, tool
from plait.errors import ConfigurationError
from plait.orchestrator import Run
from plait.orchestrator._history import recall

pytestmark = pytest.mark.anyio


@tool(read_only=True, open_world=False)
async def stock(product: str) -> dict[str, int | str]:
    """How many of a product there are."""
    return {"count": len(product), "note": "x" * 5000}


@tool(read_only=True, open_world=False)
async def double(number: int) -> int:
    """Twice a number."""
    return 2 * number


TOOLS = [stock, double]
FIRST = '1. stock(product="honey")\n2. join()'


async def asked(*replies: str, **options: object) -> tuple[Run, Agent]:
    """A first run, and an agent with replies for the next ones."""
    agent = Agent(ScriptedModel([FIRST, "Answer: 5", *replies]), TOOLS, **options)  # type: ignore[arg-type]
    return await agent.run("How much honey is there?"), agent


def prompt(agent: Agent, number: int) -> str:
    return agent.model.requests[number].messages[-1].content  # type: ignore[attr-defined,no-any-return]


async def test_a_later_run_uses_typed_results_of_earlier_ones_and_numbers_on() -> None:
    first, agent = await asked("2. double(number=$1.count)\n3. join()")
    second = await agent.run("Twice that?", earlier=[first])
    assert second.answer == "10"
    assert [o.task.id for o in second.tasks] == [2]
    assert [t.id for t in second.plan] == [2]


async def test_a_long_result_is_cut_in_the_prompt_and_whole_where_it_is_used() -> None:
    first, agent = await asked("2. stock(product=$1.note)\n3. join()", "Answer: many")
    second = await agent.run("Of that?", earlier=[first])
    assert "more characters]" in prompt(agent, 2)
    assert len(prompt(agent, 2)) < 1200
    assert second.tasks[0].result["count"] == 5000


async def test_what_was_called_is_known_where_there_is_no_room_for_the_turns() -> None:
    first, agent = await asked()
    history = recall([first], agent.model, max_tokens=1)
    assert history.turns == ()
    assert history.called == ("stock",)


@pytest.mark.parametrize("planner", ["compact", "compiler", "native", "react", "tuned"])
async def test_every_planner_is_told(planner: str) -> None:
    first, _ = await asked()
    agent = Agent(ScriptedModel(["Answer: nothing"] * 3), TOOLS, planner=planner, instructions="Be brief.")
    await agent.run("And jam?", earlier=[first])
    messages = "\n".join(m.content for m in agent.model.requests[0].messages)  # type: ignore[attr-defined]
    assert "How much honey is there?" in messages
    assert "Be brief." in messages
    assert messages.index("honey") < messages.rindex("And jam?")


async def test_the_joiner_is_told_too() -> None:
    first, agent = await asked("2. join()", "Answer: honey")
    await agent.run("What did I ask about?", earlier=[first])
    assert "How much honey is there?" in prompt(agent, 3)


async def test_without_a_conversation_the_prompt_is_what_it_was() -> None:
    _, agent = await asked()
    assert prompt(agent, 0).endswith("Request: How much honey is there?\nPlan:")
    assert "Earlier" not in prompt(agent, 0)
    assert "Number the calls" not in prompt(agent, 0)


async def test_what_has_no_room_cannot_be_referred_to_and_its_numbers_are_not_used_again() -> None:
    first, agent = await asked(
        "2. double(number=$1.count)\n3. join()", "2. join()", "2. join()", "none", history_tokens=0
    )
    second = await agent.run("Twice that?", earlier=[first])
    assert second.tasks == []
    assert "honey" not in prompt(agent, 2)
    assert "from 2 on" in prompt(agent, 2)


async def test_runs_of_two_conversations_are_refused() -> None:
    first, agent = await asked(FIRST, "Answer: 5")
    other = await agent.run("How much honey is there?")
    with pytest.raises(ConfigurationError, match="task 1"):
        await agent.run("And?", earlier=[first, other])
