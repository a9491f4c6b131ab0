import itertools

from hypothesis import given
from hypothesis import strategies as st

from plait.apps.evaluation._graphs import PlanGraph, find_isomorphism
from plait.planners import Plan, Ref, Task, Template


def graph(labels: str, *edges: tuple[int, int]) -> PlanGraph:
    """A node for each letter; an edge says that the first uses the second's result."""
    tasks = (
        Task(i, label, {"x": [Ref(used) for user, used in edges if user == i]})
        for i, label in enumerate(labels)
    )
    return PlanGraph.of(Plan(tuple(tasks)))


def is_mapping(mapping: tuple[int, ...], first: PlanGraph, second: PlanGraph) -> bool:
    return (
        sorted(mapping) == list(range(len(second)))
        and all(first.labels[i] == second.labels[j] for i, j in enumerate(mapping))
        and all({mapping[k] for k in first.uses[i]} == second.uses[j] for i, j in enumerate(mapping))
    )


@st.composite
def graphs(draw: st.DrawFn) -> PlanGraph:
    labels = draw(st.text("ab", min_size=1, max_size=6))
    pairs = list(itertools.combinations(range(len(labels)), 2))
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return graph(labels, *((j, i) for i, j in chosen))


def renumbered(given_graph: PlanGraph, order: list[int]) -> PlanGraph:
    place = {node: at for at, node in enumerate(order)}
    sides = (
        tuple(frozenset(place[k] for k in side[node]) for node in order)
        for side in (given_graph.uses, given_graph.users)
    )
    return PlanGraph(tuple(given_graph.labels[node] for node in order), *sides)


@given(graphs(), st.randoms())
def test_a_renumbered_graph_is_the_same_graph(first: PlanGraph, random: object) -> None:
    order = list(range(len(first)))
    random.shuffle(order)  # type: ignore[attr-defined]
    second = renumbered(first, order)
    mapping = find_isomorphism(first, second)
    assert mapping is not None
    assert is_mapping(mapping, first, second)


@given(graphs(), graphs())
def test_what_is_found_is_what_trying_all_permutations_finds(first: PlanGraph, second: PlanGraph) -> None:
    exists = len(first) == len(second) and any(
        is_mapping(mapping, first, second) for mapping in itertools.permutations(range(len(first)))
    )
    mapping = find_isomorphism(first, second)
    assert (mapping is not None) == exists
    assert mapping is None or is_mapping(mapping, first, second)


def test_a_use_counts_once_wherever_it_stands() -> None:
    direct = Plan((Task(1, "a", {}), Task(2, "b", {"x": Ref(1)})))
    everywhere = Plan(
        (Task(5, "a", {}), Task(7, "b", {"x": Template(("say ", Ref(5, ("name",)))), "y": [{"z": Ref(5)}]}))
    )
    assert PlanGraph.of(direct) == PlanGraph.of(everywhere)


def test_a_use_of_a_call_that_is_not_in_the_plan_is_no_edge() -> None:
    assert PlanGraph.of(Plan((Task(1, "a", {"x": Ref(9)}),))).uses == (frozenset(),)


def test_the_direction_of_a_use_counts() -> None:
    assert find_isomorphism(graph("ab", (1, 0)), graph("ab", (0, 1))) is None


def test_empty_graphs_are_the_same() -> None:
    assert find_isomorphism(graph(""), graph("")) == ()
    assert find_isomorphism(graph(""), graph("a")) is None


def test_two_rings_are_not_one_ring_though_each_node_looks_the_same() -> None:
    def ring(*sizes: int) -> PlanGraph:
        edges, begin = [], 0
        for size in sizes:
            ring_edges = ((begin + i, begin + (i + 1) % size) for i in range(size))
            edges += [(15 + n, i) for n, pair in enumerate(ring_edges, begin) for i in pair]
            begin += size
        return graph("a" * 15 + "b" * 15, *edges)

    assert find_isomorphism(ring(15), ring(7, 8)) is None
    assert find_isomorphism(ring(7, 8), ring(8, 7)) is not None


def test_thirty_equal_calls_are_mapped_by_what_must_agree() -> None:
    first, second = graph("a" * 30), graph("a" * 30)
    mapping = find_isomorphism(first, second, lambda i, j, same: i + j == 29)
    assert mapping == tuple(range(29, -1, -1))


def test_sixteen_calls_that_want_fifteen_fail_without_trying_every_order() -> None:
    first, second = graph("a" * 30), graph("a" * 30)
    assert find_isomorphism(first, second, lambda i, j, same: i >= 16 or j < 15) is None
