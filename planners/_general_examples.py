# ruff: noqa: E501  (a line of a prompt is a line)
"""Worked examples that bring their own tools, for toolboxes that have none.

They show the form of a plan, several tasks in one request, one tool among similar ones, a call that is all
that was asked for although others could follow, a chain, and that a tool which nearly fits does not fit. Each is a turn of the conversation before the request, so
that nobody takes its tools for the offered ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class GeneralExample:
    """A request, the tools that were offered for it, and its right plan."""

    tools: str
    """As the prompt describes them."""
    query: str
    plan: str
    """In the plan language, with keywords."""
    required: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Arguments that the tools which the plan calls must have, in order."""


GENERAL_EXAMPLES = (
    GeneralExample(
        """\
- city.population(city: str, year?: int): The number of people who live in a city.
    city: the city's name
- book_table(restaurant: str, guests: int, time?: str): Book a table in a restaurant.
- river.length(river: str): The length of a river.""",
        "How many people lived in Porto in 1990, how many live in Braga and in Faro today, and could you get me a table for two at Cantina at eight?",
        """\
1. city.population(city="Porto", year=1990)
2. city.population(city="Braga")
3. city.population(city="Faro")
4. book_table(restaurant="Cantina", guests=2, time="20:00")
5. join()""",
        {"city.population": ("city",), "book_table": ("restaurant", "guests")},
    ),
    GeneralExample(
        "- body_mass_index(height_cm: float, weight_kg: float): Compute the body mass index.",
        "How many calories does a banana have?",
        "1. join()",
    ),
    GeneralExample(
        """\
- currency.convert(amount: float, source: str, target: str, day?: str): Convert an amount of money from one currency into another.
- currency.history(source: str, target: str): The exchange rates of the last year.
- bank.find(city: str): Find a bank.""",
        "I have 250 euros, what is that in yen?",
        """\
1. currency.convert(amount=250, source="EUR", target="JPY")
2. join()""",
        {"currency.convert": ("amount", "source", "target")},
    ),
    GeneralExample(
        """\
- rooms.search(city: str, nights: int, parking: bool = false, min_stars?: float, breakfast: str = "any"): Find hotel rooms.
    city: city and country, such as "Lyon, France"
- rooms.book(room: str, nights: int): Book a room.
- rooms.reviews(room: str): What guests say about a room.""",
        "I'm looking for a room in Graz in Austria for two nights, one with a parking space.",
        """\
1. rooms.search(city="Graz, Austria", nights=2, parking=true)
2. join()""",
        {"rooms.search": ("city", "nights")},
    ),
    GeneralExample(
        """\
- match.result(team: str, season: str): The results of a football team.
- player.goals(player: str): The goals that a football player has scored.""",
        "Who won the chess world championship in 1985?",
        "1. join()",
    ),
    GeneralExample(
        """\
- find_recipe(dish: str, servings: int = 4): Find the recipe of a dish.
- find_drink(kind: str): Find a drink.
- shopping_list(recipe: str): Make a shopping list for a recipe.""",
        "I need a shopping list for a lasagna for six people.",
        """\
1. find_recipe(dish="lasagna", servings=6)
2. shopping_list(recipe=$1)
3. join()""",
        {"find_recipe": ("dish",), "shopping_list": ("recipe",)},
    ),
    GeneralExample(
        "- museum.hours(museum: str): The opening hours of a museum.",
        "What does a ticket for the Prado cost?",
        "1. join()",
    ),
)

PARTS_EXAMPLES = (
    GeneralExample(
        """\
- cinema.find(town: str) -> list[{cinema_id: str, name: str, street: str}]: Find the cinemas of a town.
- cinema.films(cinema_id: str, day?: str) -> list[{title: str, starts: str}]: What a cinema shows.
- street_map(place: str) -> {url: str, lat: float, lon: float}: A map of a place.""",
        "What is on at the cinema in Turku, and where is it?",
        """\
1. cinema.find(town="Turku")
2. cinema.films(cinema_id=$1[0].cinema_id)
3. street_map(place="${1[0].street}, Turku")
4. join()""",
        {"cinema.find": ("town",), "cinema.films": ("cinema_id",), "street_map": ("place",)},
    ),
)
"""Further ones, for tools of which it is known what their results hold."""
