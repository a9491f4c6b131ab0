"""A planner model of its own, behind an OpenAI-compatible server; the answer is written locally.

    llama-server -m qwen2.5-coder-7b-instruct-q4_k_m.gguf --port 8080 &
    python examples/own_planner_model_http.py

llama-server and vLLM are sent a grammar, others a JSON schema; plait asks the server which it is.
"""

import asyncio

from plait import Agent, ChatModel, HTTPModel, Run, tool
from plait.planners import CompilerPlanner

BASE_URL = "http://localhost:8080/v1"
PLANNER_MODEL = "qwen2.5-coder-7b"
REQUEST = "Scale 500 g of flour and 2 cups of milk from 4 servings to 6, and give the milk in millilitres."

ML_PER = {"cup": 236.6, "tablespoon": 14.8, "teaspoon": 4.9}


@tool(read_only=True)
def scale(amount: float, from_servings: int, to_servings: int) -> float:
    """Scale an amount of a recipe from one number of servings to another."""
    return round(amount * to_servings / from_servings, 2)


@tool(read_only=True)
def to_millilitres(amount: float, unit: str) -> float:
    """Convert an amount in cups, tablespoons or teaspoons to millilitres.

    Args:
        amount: how many
        unit: "cup", "tablespoon" or "teaspoon"
    """
    return round(amount * ML_PER[unit], 1)


async def answer(model: ChatModel | str, base_url: str, planner_model: str) -> Run:
    server = await HTTPModel.connect(planner_model, base_url=base_url)
    print(f"{server.name} on {server.server}, {server.context_length} tokens, grammar: {server.grammar_kind}")
    try:
        tools = [scale, to_millilitres]
        async with Agent(model, tools, planner=lambda _, toolbox: CompilerPlanner(server, toolbox)) as agent:
            return await agent.run(REQUEST)
    finally:
        await server.aclose()


def main(
    model: ChatModel | str = "qwen2.5-coder-1.5b",
    base_url: str = BASE_URL,
    planner_model: str = PLANNER_MODEL,
) -> Run:
    run = asyncio.run(answer(model, base_url, planner_model))
    print(run.plan)
    print(run.answer if run.error is None else f"error: {run.error}")
    return run


if __name__ == "__main__":
    main()
