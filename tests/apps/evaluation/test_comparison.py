import pytest

from plait.apps.evaluation._comparison import compare
from plait.apps.evaluation._types import ErrorRecord, Times
from plait.errors import ConfigurationError


def test_a_pair_counts_who_alone_is_right_on_common_items(make_run, make_record) -> None:
    first = make_run(make_record("a"), make_record("b"), make_record("c", correct=False), make_record("x"))
    other = make_run(
        make_record("c"), make_record("a"), make_record("b", correct=False), make_record("y"), label="b react"
    )
    comparison = compare([first, other])
    (pair,) = comparison.pairs
    assert comparison.n_common == pair.n_common == 3
    assert (pair.only_first_right, pair.only_other_right) == (("b",), ("c",))
    assert pair.overall is not None
    assert (pair.overall.first_accuracy, pair.overall.other_accuracy) == (2 / 3, 2 / 3)
    assert (pair.overall.value, pair.overall.p_value) == (0.0, 1.0)


def test_a_better_run_has_a_difference_above_zero_and_a_small_p_value(make_run, make_record) -> None:
    ids = [f"i{k}" for k in range(60)]
    first = make_run(*(make_record(id_, correct=k % 2 == 0) for k, id_ in enumerate(ids)))
    other = make_run(*(make_record(id_) for id_ in ids), label="b react")
    difference = compare([first, other]).pairs[0].overall
    assert difference is not None
    assert difference.value == 0.5
    assert difference.p_value < 1e-6
    assert 0.3 < difference.interval.low < 0.5 < difference.interval.high < 0.7


def test_p_values_of_two_pairs_are_corrected_and_of_one_are_not(make_run, make_record) -> None:
    ids = [f"i{k}" for k in range(6)]
    first = make_run(*(make_record(id_, correct=False) for id_ in ids))
    others = [make_run(*(make_record(id_) for id_ in ids), label=label) for label in ("b", "c")]
    (alone,) = compare([first, others[0]]).pairs
    assert alone.overall is not None
    assert alone.overall.p_adjusted == alone.overall.p_value == 0.03125
    for pair in compare([first, *others]).pairs:
        assert pair.overall is not None
        assert (pair.overall.p_value, pair.overall.p_adjusted) == (0.03125, 0.0625)


def test_differences_by_category_are_corrected_among_themselves(make_run, make_record) -> None:
    ids = [(f"{c}{k}", c) for c in ("mail", "notes") for k in range(6)]
    first = make_run(*(make_record(id_, category=c, correct=False) for id_, c in ids))
    other = make_run(*(make_record(id_, category=c, correct=c == "mail") for id_, c in ids), label="b")
    mail, notes = compare([first, other]).pairs[0].categories
    assert (mail.category, mail.n, mail.value, mail.p_value, mail.p_adjusted) == (
        "mail",
        6,
        1.0,
        0.03125,
        0.0625,
    )
    assert (notes.value, notes.p_adjusted) == (0.0, 1.0)


def test_time_ratios_are_of_items_that_both_tried_to_their_end(make_run, make_record) -> None:
    def records(*times: float, **fields):
        return [make_record(f"i{k}", times=Times(total_s=t), **fields) for k, t in enumerate(times)]

    failed = make_record(
        "i9", correct=False, error=ErrorRecord(type="RunError", message="no"), times=Times(total_s=900.0)
    )
    first = make_run(*records(1.0, 2.0, 4.0), make_record("i9", times=Times(total_s=1.0)))
    other = make_run(*records(0.5, 0.5, 3.0), failed, label="b")
    ratio = compare([first, other]).pairs[0].time
    assert ratio is not None
    assert (ratio.n, ratio.of_sums, ratio.median) == (3, 4 / 7, 0.5)


def test_many_calls_are_the_same_number_of_at_least_three_in_both(make_run, make_record) -> None:
    def run(label: str, time: float, *n_calls: int):
        return make_run(
            *(
                make_record(
                    f"i{k}", n_calls=n, times=Times(total_s=time * (k + 1), last_call_s=time * time * (k + 1))
                )
                for k, n in enumerate(n_calls)
            ),
            label=label,
        )

    pair = compare([run("a", 1.0, 2, 3, 4, 5), run("b", 2.0, 2, 3, 4, 6)]).pairs[0]
    assert pair.time_many_calls is not None
    assert (pair.time_many_calls.n, pair.time_many_calls.of_sums) == (2, 2.0)
    assert pair.time_until_last_call is not None
    assert (pair.time_until_last_call.n, pair.time_until_last_call.of_sums) == (2, 4.0)
    few = compare([run("a", 1.0, 1), run("b", 2.0, 1)]).pairs[0]
    assert few.time is not None
    assert few.time_many_calls is None


def test_runs_without_a_common_item_are_shown_and_not_tested(make_run, make_record) -> None:
    (pair,) = compare([make_run(make_record("a")), make_run(make_record("b"), label="b")]).pairs
    assert (pair.n_common, pair.overall, pair.categories, pair.time) == (0, None, (), None)


def test_differing_items_are_those_that_some_run_alone_got_right(make_run, make_record) -> None:
    first = make_run(make_record("a"), make_record("b"), make_record("c", correct=False, detail="wrong tool"))
    other = make_run(make_record("a"), make_record("c"), label="b")
    (item,) = compare([first, other]).differing
    assert item.id == "c"
    assert [outcome and outcome.correct for outcome in item.outcomes] == [False, True]
    assert item.outcomes[0] is not None
    assert item.outcomes[0].detail == "wrong tool"


def test_runs_of_different_benchmarks_are_refused_with_both_names(make_run, make_record, make_config) -> None:
    first = make_run(make_record("a"))
    other = make_run(make_record("a"), label="b", config=make_config(benchmark="nestful"))
    with pytest.raises(ConfigurationError, match="a-compiler is a run of plans and b one of nestful"):
        compare([first, other])


def test_runs_of_different_data_are_refused_with_both_fingerprints(
    make_run, make_record, make_config
) -> None:
    first = make_run(make_record("a"))
    other = make_run(make_record("a"), label="b", config=make_config(fingerprint="ffff"))
    with pytest.raises(ConfigurationError, match="0c3a91 and ffff"):
        compare([first, other])


def test_no_runs_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="no run was given"):
        compare([])
