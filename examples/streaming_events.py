"""The events of a run as they happen: calls start while the planner is still writing.

python examples/streaming_events.py
"""

import asyncio

from plait import Agent, ChatModel, tool
from plait.orchestrator import (
    AnswerTextWritten,
    PlanFinished,
    Replanned,
    RunFinished,
    TaskFinished,
    TaskPlanned,
    TaskStarted,
)

REQUEST = "Where is it windier now, in Brest or in Cork, and when is high water in Cork?"

WIND_KNOTS = {"Brest": 17, "Cork": 24}
HIGH_WATER = {"Brest": "05:10", "Cork": "06:45"}


@tool(read_only=True)
async def wind(harbour: str) -> int:
    """The wind at a harbour now, in knots."""
    return WIND_KNOTS[harbour]


@tool(read_only=True)
async def high_water(harbour: str) -> str:
    """The time of the next high water at a harbour."""
    return HIGH_WATER[harbour]


async def watch(agent: Agent, request: str) -> None:
    """Print a line for each step of the run."""
    async for event in agent.stream(request):
        match event:
            case TaskPlanned(task=task):
                print("planned ", task)
            case TaskStarted(task=task, arguments=arguments):
                print("started ", task.id, dict(arguments))
            case TaskFinished(outcome=outcome):
                print("finished", outcome.task.id, outcome.result if outcome.ok else outcome.error)
            case PlanFinished():
                print("the plan is complete")
            case Replanned(reason=reason):
                print("another plan is needed:", reason)
            case AnswerTextWritten(text=text):
                print(text, end="", flush=True)
            case RunFinished(run=run):
                print()
                print(f"{len(run.tasks)} calls, {run.replans} replans, ok: {run.ok}")


async def run(model: ChatModel | str) -> None:
    async with Agent(model, [wind, high_water]) as agent:
        await watch(agent, REQUEST)


def main(model: ChatModel | str = "qwen2.5-coder-1.5b") -> None:
    asyncio.run(run(model))


if __name__ == "__main__":
    main()
