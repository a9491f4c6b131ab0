"""LangChain both ways: its tools in, and the agent as one step of a chain.

python examples/langchain_tools.py
"""

from typing import Literal

from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool as langchain_tool

from plait import Agent, ChatModel, Plan, PlanExample, Run, ToolAnnotations
from plait.planners import parse_plan
from plait.tools import from_langchain

# A worked example for the planner: small models follow one better than any rule.
EXAMPLE = """\
1. postage(kilograms=3.0, country="Norway")
2. postage(kilograms=0.5, country="Norway")
3. add(amounts=[$1, $2])
4. join()"""
QUESTION = {"parcels": "two parcels of 1.2 and 0.8 kg", "country": "Portugal"}

EUROS = {"Portugal": (4.90, 2.10), "Norway": (9.50, 3.40)}
"""For each country: the price of a parcel, and of each kilogram in it."""


@langchain_tool
def postage(kilograms: float, country: Literal["Portugal", "Norway"]) -> float:
    """The postage of one parcel, in euros."""
    parcel, kilogram = EUROS[country]
    return round(parcel + kilogram * kilograms, 2)


@langchain_tool
def add(amounts: list[float]) -> float:
    """The sum of amounts."""
    return round(sum(amounts), 2)


def as_request(question: dict[str, str]) -> str:
    return f"What is the postage of {question['parcels']} to {question['country']}, taken together?"


def as_sentence(run: Run) -> str:
    run.raise_for_error()
    return f"{len(run.tasks)} calls gave: {run.answer}"


def main(model: ChatModel | str = "qwen2.5-coder-1.5b") -> str:
    # A LangChain tool may be given to the agent as it is. Wrapping it says what plait cannot know.
    reads = ToolAnnotations(read_only=True)
    tools = [from_langchain(t, annotations=reads) for t in (postage, add)]
    shown = PlanExample(
        "What do parcels of 3 and of 0.5 kg to Norway cost?", Plan(tuple(parse_plan(EXAMPLE)))
    )
    agent = Agent(model, tools, examples=[shown])
    chain = RunnableLambda(as_request) | agent.as_runnable() | RunnableLambda(as_sentence)
    sentence: str = chain.invoke(QUESTION)
    print(sentence)
    return sentence


if __name__ == "__main__":
    main()
