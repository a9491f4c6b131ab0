"""Tools and usages that the tests of retrieval share, and an encoder that counts."""

from __future__ import annotations

from collections.abc import Sequence

from plait.retrieval import HashingEncoder, Ranking, Usage, Vectors
from plait.tools import Tool, Toolbox


def make_tool(name: str, description: str = "", *arguments: str) -> Tool:
    properties = {argument: {"type": "string"} for argument in arguments}
    schema = {"type": "object", "properties": properties}
    return Tool.from_schema({"name": name, "description": description, "parameters": schema})


TOOLS = Toolbox(
    [
        make_tool("get_weather", "The forecast for a city.", "city"),
        make_tool("sendMail", "Send a letter by electronic post.", "recipient", "body"),
        make_tool("add", "The sum of two numbers.", "first", "second"),
        make_tool("play_song", "Play music.", "title"),
    ]
)
USAGES = (
    Usage("will it rain in Porto tomorrow", ("get_weather",)),
    Usage("do I need an umbrella today", ("get_weather",)),
    Usage("write to Sid that it will be sunny tomorrow", ("get_weather", "sendMail")),
    Usage("tell Maya the report is late", ("sendMail",)),
)


UNTRAINED: tuple[Ranking, ...] = ("fused", "centroid", "usage", "bm25", "description")
"""The rankings that need no training."""


class CountingEncoder(HashingEncoder):
    """Remembers which texts it has encoded."""

    def __init__(self, dimension: int = 256) -> None:
        super().__init__(dimension)
        self.texts: list[str] = []

    def encode(self, texts: Sequence[str], /) -> Vectors:
        self.texts += texts
        return super().encode(texts)
