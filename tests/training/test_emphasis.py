"""What was wrong is trained on more."""

import json
from collections import Counter
from pathlib import Path

import pytest

from plait.errors import ConfigurationError
from plait.tools import Toolbox
from plait.training import (
    DataSet,
    Recipe,
    ToolboxSkeletons,
    TriedRequest,
    read_skeletons,
    read_tried,
    uses_after,
    write_tried,
)

LINES = [
    *({"q": f"{{p1}}'s number {n}", "plan": "get_phone_number(name={p1})"} for n in range(20)),
    *({"q": f"{{p1}}'s address {n}", "plan": "get_email_address(name={p1})"} for n in range(20)),
    *(
        {"q": f"both of {{p1}} {n}", "plan": BOTH}
        for n, BOTH in enumerate(["get_phone_number(name={p1})\nget_email_address(name={p1})"] * 20)
    ),
]


@pytest.fixture
def source(assistant: Toolbox) -> ToolboxSkeletons:
    found = read_skeletons("\n".join(map(json.dumps, LINES)), name="test", toolbox=assistant)
    return ToolboxSkeletons("test", assistant, found)


def test_kinds_that_came_out_wrong_are_used_up_to_four_times_as_often(source: ToolboxSkeletons) -> None:
    numbers, addresses, both = (source.skeletons[i : i + 20] for i in (0, 20, 40))
    tried = [
        *(TriedRequest(one.id, right=False) for one in numbers[:10]),
        *(TriedRequest(one.id, right=True) for one in addresses[:10]),
        *(TriedRequest(one.id, right=True) for one in both[:10]),
    ]
    uses = uses_after(tried, [source])
    assert {uses[one.id] for one in numbers} == {4}
    assert {uses[one.id] for one in (*addresses, *both)} == {1}


def test_a_kind_that_was_never_tried_counts_as_plans_of_its_length_do(source: ToolboxSkeletons) -> None:
    tried = [TriedRequest(one.id, right=i % 3 == 0) for i, one in enumerate(source.skeletons[:18])]
    uses = uses_after(tried, [source])
    addresses, both = source.skeletons[20], source.skeletons[40]
    assert uses[addresses.id] == 3  # one call: two of three were wrong
    assert uses[both.id] == 1  # nothing is known of two calls


def test_only_what_is_trained_on_is_changed(source: ToolboxSkeletons) -> None:
    tried = tuple(TriedRequest(one.id, right=False) for one in source.skeletons[:20])
    plain, guided = DataSet(source), DataSet(source, tried=tried)
    recipe = Recipe(300, as_it_is=1.0, joined=0.0)
    numbers = {one.id for one in source.skeletons[:20]}

    def share(data: DataSet) -> float:
        found = Counter(i.skeleton in numbers for group in data.groups("train", recipe) for i in group.items)
        return found[True] / found.total()

    assert share(plain) == pytest.approx(1 / 3, abs=0.05)
    assert share(guided) > 0.4
    assert list(plain.groups("validation", recipe)) == list(guided.groups("validation", recipe))


def test_what_was_tried_is_written_and_read(tmp_path: Path) -> None:
    tried = [TriedRequest("a:1", right=True), TriedRequest("a:2", right=False)]
    write_tried(tmp_path / "tried.jsonl", tried)
    assert read_tried(tmp_path / "tried.jsonl") == tried


def test_a_folder_without_an_evaluation_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="give the folder of a training that was evaluated"):
        read_tried(tmp_path / "tried.jsonl")
