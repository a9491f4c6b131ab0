import pytest

from plait.apps.evaluation._summary import summarize
from plait.apps.evaluation._types import (
    ErrorRecord,
    GenerationRecord,
    PlannedCall,
    Prices,
    Times,
    TokenCounts,
)
from plait.errors import ConfigurationError

ERROR = ErrorRecord(type="ModelServerError", message="gone")


def test_micro_accuracy_counts_items_and_macro_accuracy_counts_categories(make_run, make_record) -> None:
    summary = summarize(
        make_run(
            make_record("a", category="mail"),
            make_record("b", category="mail"),
            make_record("c", category="mail"),
            make_record("d", category="notes", correct=False),
        )
    )
    assert summary.overall.accuracy == 0.75
    assert summary.macro_accuracy == 0.5
    assert [(g.category, g.n, g.n_right) for g in summary.categories] == [("mail", 3, 3), ("notes", 1, 0)]
    assert summary.category("notes") is summary.categories[1]
    assert summary.category("other") is None


def test_an_error_counts_as_wrong_and_not_in_times_and_tokens(make_run, make_record) -> None:
    good = make_record("a", times=Times(total_s=2.0), tokens=TokenCounts(prompt=100))
    bad = make_record(
        "b", correct=False, error=ERROR, times=Times(total_s=50.0), tokens=TokenCounts(prompt=9)
    )
    group = summarize(make_run(good, bad)).overall
    assert (group.n, group.n_errors, group.accuracy) == (2, 1, 0.5)
    assert group.latency is not None
    assert group.latency.total.p95_s == 2.0
    assert group.tokens is not None
    assert group.tokens.prompt == 100


def test_where_every_item_failed_there_are_no_times(make_run, make_record) -> None:
    group = summarize(make_run(make_record("a", correct=False, error=ERROR))).overall
    assert group.latency is None
    assert group.tokens is None


def test_shares_are_of_all_tokens_and_none_where_there_are_no_tokens(make_run, make_record) -> None:
    cached = TokenCounts(prompt=300, cached=270, completion=40, forced=10, drafted=20, accepted=15)
    records = [
        make_record("a", tokens=cached, times=Times(decode_s=2.0)),
        make_record("b", tokens=TokenCounts(prompt=100)),
    ]
    tokens = summarize(make_run(*records)).overall.tokens
    assert tokens is not None
    assert (tokens.cached_share, tokens.forced_share, tokens.draft_acceptance) == (0.675, 0.25, 0.75)
    assert (tokens.prompt, tokens.completion, tokens.decoded_per_s) == (200, 20, 20)
    nothing = summarize(make_run(make_record("a"))).overall.tokens
    assert nothing is not None
    assert (
        nothing.draft_acceptance
        is nothing.cached_share
        is nothing.forced_share
        is nothing.decoded_per_s
        is None
    )


def test_the_cost_is_of_every_item_also_of_one_that_failed(make_run, make_record, make_config) -> None:
    config = make_config(prices=Prices(prompt=2.0, completion=10.0))
    tokens = TokenCounts(prompt=1_000_000, completion=100_000)
    records = [make_record("a", tokens=tokens), make_record("b", tokens=tokens, correct=False, error=ERROR)]
    assert summarize(make_run(*records, config=config)).overall.cost_usd == pytest.approx(6.0)
    assert summarize(make_run(*records)).overall.cost_usd is None


def test_scores_are_means_of_the_items_that_have_them(make_run, make_record) -> None:
    records = [
        make_record("a", scores={"recall": 1.0}),
        make_record("b", scores={"recall": 0.5}),
        make_record("c"),
    ]
    assert summarize(make_run(*records)).overall.scores == {"recall": 0.75}


def test_model_calls_tool_calls_and_unread_plans_are_counted(make_run, make_record) -> None:
    turn = GenerationRecord(messages=[], output="")
    records = [
        make_record("a", generations=[turn] * 3, n_calls=4),
        make_record("b", generations=[turn], parsed=False, correct=False),
    ]
    group = summarize(make_run(*records)).overall
    assert (group.generations, group.calls, group.n_unparsed) == (2.0, 2.0, 1)


def test_the_first_call_is_of_the_items_that_made_one(make_run, make_record) -> None:
    times = Times(total_s=3.0, first_call_s=0.5, last_call_s=2.5)
    records = [make_record("a", times=times), make_record("b")]
    latency = summarize(make_run(*records)).overall.latency
    assert latency is not None
    assert latency.first_call is not None
    assert latency.first_call.p50_s == 0.5
    assert latency.last_call is not None
    assert latency.last_call.p50_s == 2.5
    without = summarize(make_run(make_record("b"))).overall.latency
    assert without is not None
    assert without.first_call is without.last_call is None


def _nested(make_record, id_: str, *tools: str, **fields):
    """A record of NESTFUL whose right calls are ``find`` and ``book``, and which planned ``tools``."""
    gold = [
        {"name": "find", "arguments": {"q": "x"}, "label": "var1"},
        {"name": "book", "arguments": {"id": "$var1.id$"}, "label": "var2"},
    ]
    arguments = {"find": {"q": "x"}, "book": {"id": "$1.id"}}
    plan = [
        PlannedCall(id=number, tool=tool, arguments=arguments.get(tool, {}))
        for number, tool in enumerate(tools, 1)
    ]
    return make_record(id_, gold=gold, plan=plan, **fields)


def test_nestfuls_f1_is_that_of_the_whole_set_and_no_mean_of_items(
    make_run, make_record, make_config
) -> None:
    records = [_nested(make_record, "a", "find", "book"), _nested(make_record, "b", "find", "pay")]
    totals = summarize(make_run(*records, config=make_config(benchmark="nestful"))).totals
    # find is always found, book half the time: (1 + 2/3) / 2; what is not called has none of its parameters.
    assert totals["f1_functions"] == pytest.approx((1 + 2 / 3) / 2)
    assert totals["f1_parameters"] == pytest.approx((1 + 2 / 3) / 2)
    assert totals["partial_accuracy"] == pytest.approx((1 + 1 / 2) / 2)
    assert totals["full_accuracy"] == 0.5


@pytest.mark.parametrize("how", [{"error": ERROR}, {"parsed": False}], ids=["failed", "unread"])
def test_an_item_that_failed_or_was_not_read_has_no_calls_in_the_whole_set(
    make_run, make_record, make_config, how
) -> None:
    config = make_config(benchmark="nestful")
    failed = _nested(make_record, "b", "find", "book", correct=False, **how)
    totals = summarize(make_run(_nested(make_record, "a", "find", "book"), failed, config=config)).totals
    assert totals["full_accuracy"] == 0.5
    assert totals["f1_functions"] == pytest.approx(2 / 3)


def test_other_benchmarks_have_no_whole_set_metrics(make_run, make_record) -> None:
    assert summarize(make_run(make_record("a"))).totals == {}


def test_a_run_without_items_is_refused_by_its_folder(make_run) -> None:
    with pytest.raises(ConfigurationError, match="b-react has no finished item"):
        summarize(make_run(label="b react"))
