"""Worked examples for the planner that makes one call a turn; they bring their own tools."""

# ruff: noqa: E501  (a line of a prompt is a line)

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StepExample:
    """A request and all turns until it is answered."""

    tools: str
    """As the prompt describes them."""
    query: str
    turns: tuple[tuple[str, str], ...]
    """What the model writes, and the result of the call in it."""
    answer: str
    """Its last turn."""


STEP_EXAMPLES = (
    StepExample(
        """\
- city.population(city: str, year?: int): The number of people who live in a city.
    city: the city's name
- book_table(restaurant: str, guests: int, time?: str): Book a table in a restaurant.
- river.length(river: str): The length of a river.""",
        "How many people lived in Porto in 1990, how many live in Braga today, and could you get me a table for two at Cantina at eight?",
        (
            (
                'Thought: First the population of Porto in 1990.\n1. city.population(city="Porto", year=1990)',
                "310600",
            ),
            ('Thought: Next the population of Braga.\n2. city.population(city="Braga")', "193300"),
            (
                'Thought: The table is still to be booked.\n3. book_table(restaurant="Cantina", guests=2, time="20:00")',
                "booked",
            ),
        ),
        "Thought: All three things are done.\nAnswer: 310,600 people lived in Porto in 1990 and 193,300 live in Braga; your table for two at Cantina is booked for 20:00.",
    ),
    StepExample(
        """\
- find_recipe(dish: str, servings: int = 4): Find the recipe of a dish.
- find_drink(kind: str): Find a drink.
- shopping_list(recipe: str): Make a shopping list for a recipe.""",
        "I need a shopping list for a lasagna for six people.",
        (
            (
                'Thought: The list needs a recipe.\n1. find_recipe(dish="lasagna", servings=6)',
                "Lasagna for six: 750 g of beef, 450 g of pasta, 900 g of tomatoes ...",
            ),
            (
                "Thought: With the recipe the list can be made.\n2. shopping_list(recipe=$1)",
                "beef 750 g, pasta 450 g, tomatoes 900 g",
            ),
        ),
        "Thought: The list is there.\nAnswer: You need 750 g of beef, 450 g of pasta and 900 g of tomatoes.",
    ),
    StepExample(
        "- museum.hours(museum: str): The opening hours of a museum.",
        "What does a ticket for the Prado cost?",
        (),
        "Thought: No tool tells prices.\nAnswer: I cannot find out what a ticket costs.",
    ),
)
