"""A plan drawn as a graph: inline SVG, its colours from the page's style."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from rich.cells import cell_len, set_cell_size

from plait.apps.evaluation._calls import Call

STYLE = """
.dag { font: 11px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; display: block; }
.dag rect { fill: var(--node); stroke: var(--node-line); }
.dag text { fill: var(--muted); white-space: pre; }
.dag .tool { fill: var(--text); font-weight: 600; }
.dag .edge { fill: none; stroke: var(--edge); stroke-width: 1.3; }
.dag .head { fill: var(--edge); }
"""
"""What a page must say for the drawings; it sets the variables for light and dark."""

_CHAR, _LINE, _PAD = 6.62, 14, 7
"""Pixels: the width of a character of the font, the height of a line, the space around a node's text."""
_GAP_X, _GAP_Y, _LANE = 34, 10, 8
_MAX_CELLS, _MAX_ARGUMENTS, _SWEEPS = 34, 4, 4
_HEAD = 6


@dataclass(slots=True, eq=False)
class _Node:
    """A call, or, where an edge passes a layer, the place that is kept free for it."""

    layer: int
    lines: list[str] = field(default_factory=list)
    title: str = ""
    before: list[_Node] = field(default_factory=list)
    after: list[_Node] = field(default_factory=list)
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = _LANE

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


def draw_plan(calls: Sequence[Call]) -> str:
    """The plan as an ``<svg>`` element: what needs a result stands to the right of where it comes from.

    Layers by longest path and order within them by barycenters: K. Sugiyama, S. Tagawa and M. Toda
    (1981), Methods for visual understanding of hierarchical system structures, IEEE Transactions on
    Systems, Man, and Cybernetics 11. Every text is escaped. No calls give no drawing, ``""``.
    """
    if not calls:
        return ""
    layers = _layers(calls)
    _order(layers)
    width, height = _place(layers)
    parts = [part for layer in layers for node in layer for part in (*_edges(node), *_box(node))]
    names = escape(", ".join(call.tool for call in calls))
    return (
        f'<svg class="dag" width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'role="img" aria-label="{len(calls)} calls: {names}">{"".join(parts)}</svg>'
    )


def _layers(calls: Sequence[Call]) -> list[list[_Node]]:
    nodes: dict[int, _Node] = {}
    layers: list[list[_Node]] = []
    for call in calls:
        needed = [nodes[k] for k in sorted(call.needs) if k in nodes]
        node = _Node(max((n.layer + 1 for n in needed), default=0), _lines(call), str(call))
        while len(layers) <= node.layer:
            layers.append([])
        for source in needed:
            _connect(source, node, layers)
        layers[node.layer].append(node)
        nodes[call.number] = node
    return layers


def _connect(source: _Node, node: _Node, layers: list[list[_Node]]) -> None:
    """Join the two through a free place in every layer between them."""
    for layer in range(source.layer + 1, node.layer):
        place = _Node(layer, before=[source])
        source.after.append(place)
        layers[layer].append(place)
        source = place
    source.after.append(node)
    node.before.append(source)


def _order(layers: list[list[_Node]]) -> None:
    """Sort every layer by where its neighbours stand, so that few edges cross."""
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        for layer in layers if forward else reversed(layers):
            _number(layers)
            layer.sort(key=lambda node: _barycenter(node, node.before if forward else node.after))


def _number(layers: list[list[_Node]]) -> None:
    for layer in layers:
        for position, node in enumerate(layer):
            node.y = position - (len(layer) - 1) / 2


def _barycenter(node: _Node, neighbours: Sequence[_Node]) -> float:
    return sum(n.y for n in neighbours) / len(neighbours) if neighbours else node.y


def _place(layers: list[list[_Node]]) -> tuple[float, float]:
    """Give every node its place; the size of the whole in pixels."""
    for layer in layers:
        for node in layer:
            if node.lines:
                node.height = len(node.lines) * _LINE + 2 * _PAD - 4
                node.width = max(map(cell_len, node.lines)) * _CHAR + 2 * _PAD
    heights = [sum(node.height for node in layer) + _GAP_Y * (len(layer) - 1) for layer in layers]
    x = 1.0
    for layer, height in zip(layers, heights, strict=True):
        y = 1 + (max(heights) - height) / 2
        width = max(node.width for node in layer)
        for node in layer:
            node.x, node.y, node.width = x, y, width
            y += node.height + _GAP_Y
        x += width + _GAP_X
    return x - _GAP_X + 1, max(heights) + 2


def _edges(node: _Node) -> Iterator[str]:
    """The edges that end at ``node``; a free place only hands its own on."""
    if not node.lines:
        return
    for last in node.before:
        way = [node, last]
        while not way[-1].lines:
            way.append(way[-1].before[0])
        yield f'<path class="edge" d="{_curve(way[::-1])}"/>'
        tip, y = node.x, node.middle
        yield f'<path class="head" d="M{tip:.0f} {y:.1f}l-{_HEAD} -3.5v7z"/>'


def _curve(way: Sequence[_Node]) -> str:
    parts = [f"M{way[0].x + way[0].width:.0f} {way[0].middle:.1f}"]
    for one, two in pairwise(way):
        start, end = one.x + one.width, two.x - (_HEAD - 1 if two is way[-1] else 0)
        bend = (start + end) / 2
        parts.append(f"C{bend:.0f} {one.middle:.1f} {bend:.0f} {two.middle:.1f} {end:.0f} {two.middle:.1f}")
        if two is not way[-1]:
            parts.append(f"H{two.x + two.width:.0f}")
    return "".join(parts)


def _box(node: _Node) -> Iterator[str]:
    if not node.lines:
        return
    x, y = node.x + _PAD, node.y + _PAD + 8
    place = f'x="{node.x:.0f}" y="{node.y:.1f}" width="{node.width:.0f}" height="{node.height:.0f}"'
    yield f'<g><title>{escape(node.title)}</title><rect {place} rx="4"/>'
    for index, line in enumerate(node.lines):
        kind = ' class="tool"' if index == 0 else ""
        yield f'<text{kind} x="{x:.0f}" y="{y + index * _LINE:.1f}">{escape(line, quote=False)}</text>'
    yield "</g>"


def _lines(call: Call) -> list[str]:
    arguments = [_cut(f"{name}={value}") for name, value in call.arguments]
    if len(arguments) > _MAX_ARGUMENTS:
        arguments[_MAX_ARGUMENTS - 1 :] = [f"... {len(arguments) - _MAX_ARGUMENTS + 1} more"]
    return [_cut(f"{call.number} {call.tool}"), *arguments]


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if cell_len(text) <= _MAX_CELLS else f"{set_cell_size(text, _MAX_CELLS - 3).rstrip()}..."
