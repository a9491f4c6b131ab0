import re
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from plait.apps.evaluation._calls import Call
from plait.apps.evaluation._dag import draw_plan


def _calls(*needs: set[int], tool: str = "find") -> list[Call]:
    return [Call(k, tool, (("name", f'"{k}"'),), frozenset(n)) for k, n in enumerate(needs, 1)]


def _boxes(svg: str) -> list[tuple[str, float, float, float, float]]:
    """Title, x, y, width and height of every node."""
    found = []
    for group in ET.fromstring(svg).findall("g"):
        box, title = group.find("rect"), group.find("title")
        assert box is not None
        assert title is not None
        found.append((title.text or "", *(float(box.attrib[k]) for k in ("x", "y", "width", "height"))))
    return sorted(found, key=lambda box: int(box[0].split(".")[0]))


def _n_edges(svg: str) -> int:
    return len(re.findall('class="edge"', svg))


def test_what_needs_a_result_stands_right_of_where_it_comes_from() -> None:
    boxes = _boxes(draw_plan(_calls(set(), set(), {1, 2}, {3})))
    assert boxes[0][1] == boxes[1][1] < boxes[2][1] < boxes[3][1]


def test_parallel_calls_stand_below_each_other() -> None:
    boxes = _boxes(draw_plan(_calls(set(), set(), set())))
    assert len({box[1] for box in boxes}) == 1
    assert [box[2] for box in boxes] == sorted(box[2] for box in boxes)


def test_neighbours_are_ordered_so_that_edges_do_not_cross() -> None:
    boxes = _boxes(draw_plan(_calls(set(), set(), {2}, {1})))
    assert boxes[2][2] > boxes[3][2]


def test_an_edge_over_a_layer_is_one_edge_around_the_node_between() -> None:
    svg = draw_plan(_calls(set(), {1}, {1, 2}))
    boxes = _boxes(svg)
    assert _n_edges(svg) == 3
    way = next(d for d in re.findall('class="edge" d="([^"]+)"', svg) if "H" in d)
    y = float(re.findall(r"([\d.]+)H", way)[0])
    _, _, top, _, height = boxes[1]
    assert not top <= y <= top + height


def test_everything_from_a_plan_is_escaped() -> None:
    evil = "</script><img src=x onerror=alert(1)>\"'&"
    svg = draw_plan([Call(1, evil, ((evil, evil),), frozenset())])
    assert "<img" not in svg
    assert "</script" not in svg
    assert {element.tag for element in ET.fromstring(svg).iter()} <= {"svg", "g", "title", "rect", "text"}


def test_long_arguments_are_cut_and_whole_in_the_title() -> None:
    long = "x" * 500
    call = Call(1, "write", tuple((f"a{k}", long) for k in range(9)), frozenset())
    ((title, _, _, width, _),) = _boxes(draw_plan([call]))
    assert title.count(long) == 9
    assert width < 260
    texts = [text.text or "" for text in ET.fromstring(draw_plan([call])).iter("text")]
    assert texts[-1] == "... 6 more"
    assert max(map(len, texts)) <= 34


def test_no_calls_give_no_drawing() -> None:
    assert draw_plan([]) == ""


@st.composite
def _graphs(draw: st.DrawFn) -> list[set[int]]:
    n = draw(st.integers(1, 10))
    return [draw(st.sets(st.integers(1, k - 1), max_size=3)) if k > 1 else set() for k in range(1, n + 1)]


@given(_graphs())
def test_nodes_never_overlap_and_every_need_is_an_edge_to_the_right(needs: list[set[int]]) -> None:
    svg = draw_plan(_calls(*needs))
    boxes = _boxes(svg)
    assert _n_edges(svg) == sum(map(len, needs))
    for k, sources in enumerate(needs):
        assert all(boxes[source - 1][1] + boxes[source - 1][3] < boxes[k][1] for source in sources)
    root = ET.fromstring(svg)
    for i, (_, x, y, w, h) in enumerate(boxes):
        assert x + w <= float(root.attrib["width"])
        assert y + h <= float(root.attrib["height"]) + 1
        for _, x2, y2, w2, h2 in boxes[:i]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y
