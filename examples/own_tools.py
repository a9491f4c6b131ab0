"""Your own tools: functions with type hints and a docstring, here those of a small shop.

    python examples/own_tools.py

The stock and the price are looked up at the same time; the conversion waits for the price alone.
"""

from typing import Literal

from plait import Agent, ChatModel, Run, tool
from plait.errors import ToolCallError

REQUEST = "How many jars of honey are in stock, and what is the price of one converted to US dollars?"

SHELF = {"honey": (14, 8.50), "olive oil": (3, 12.00), "sea salt": (0, 4.20)}
"""What is sold: how many there are, and the price of one in euros."""
EUROS_PER = {"USD": 0.92, "GBP": 1.17}


@tool(read_only=True)
def stock(product: str) -> int:
    """How many of a product are in stock.

    Args:
        product: its name, e.g. "olive oil"
    """
    return _on_shelf(product)[0]


@tool(read_only=True)
def price(product: str) -> float:
    """The price of one piece of a product, in euros.

    Args:
        product: its name, e.g. "olive oil"
    """
    return _on_shelf(product)[1]


@tool(read_only=True)
def convert_euros(amount: float, currency: Literal["USD", "GBP"]) -> str:
    """Convert an amount in euros to another currency."""
    return f"{amount / EUROS_PER[currency]:.2f} {currency}"


def _on_shelf(product: str) -> tuple[int, float]:
    if product not in SHELF:  # said to the user, and to the planner when it mends the plan
        raise ToolCallError(f"the shop has no {product!r}; it has {', '.join(SHELF)}")
    return SHELF[product]


def main(model: ChatModel | str = "qwen2.5-coder-1.5b") -> Run:
    run = Agent(model, [stock, price, convert_euros]).run_sync(REQUEST)
    print(run.plan)
    for outcome in run.tasks:
        print(f"{outcome.task.id}: {outcome.status}, {outcome.result}")
    print(run.answer)
    return run


if __name__ == "__main__":
    main()
