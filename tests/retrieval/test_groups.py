"""Which tools belong together."""

import numpy as np
import pytest
from retrieval_samples import TOOLS, USAGES, make_tool

from plait.retrieval import GroupedRetriever, HashingEncoder, Tool2Vec, Usage
from plait.retrieval._entries import Entries, ToolEntry
from plait.retrieval._groups import grouped


def entries(n_tools: int, *usages: Usage) -> Entries:
    return Entries.of([ToolEntry(f"t{i:02}", f"text {i}") for i in range(n_tools)], usages)


def test_tools_that_are_used_together_are_in_one_group() -> None:
    known = entries(4, Usage("a", ("t00", "t03")), Usage("b", ("t00", "t03")), Usage("c", ("t01",)))
    assert grouped(known, np.eye(4, dtype=np.float32)) == (("t00", "t03"), ("t01",), ("t02",))


def test_tools_that_resemble_each_other_are_in_one_group() -> None:
    vectors = np.eye(4, dtype=np.float32)
    vectors[2] = vectors[1]
    assert grouped(entries(4), vectors) == (("t00",), ("t01", "t02"), ("t03",))


def test_no_group_has_more_than_eight_tools_and_each_tool_is_in_one() -> None:
    known = entries(30)
    groups = grouped(known, np.ones((30, 1), np.float32))
    assert max(map(len, groups)) <= 8
    assert sorted(name for group in groups for name in group) == [tool.name for tool in known.tools]


@pytest.mark.parametrize("n_tools", [0, 1])
def test_of_no_tool_or_one_there_is_nothing_to_join(n_tools: int) -> None:
    assert grouped(entries(n_tools), np.ones((n_tools, 4), np.float32)) == (("t00",),) * n_tools


def test_an_index_groups_its_tools_the_same_way_in_any_order() -> None:
    index = Tool2Vec.fit(TOOLS, USAGES, HashingEncoder())
    other = Tool2Vec.fit(reversed(list(TOOLS)), reversed(USAGES), HashingEncoder())
    assert isinstance(index, GroupedRetriever)
    assert index.groups == other.groups
    assert ("get_weather", "sendMail") in index.groups


def test_a_tool_more_leaves_the_groups_of_others_alone() -> None:
    index = Tool2Vec.fit(TOOLS, USAGES, HashingEncoder())
    more = index.adding([make_tool("zebra_stripes", "Count lines on an animal.")])
    assert more.groups == (*index.groups, ("zebra_stripes",))
