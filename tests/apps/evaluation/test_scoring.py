import pytest

from plait.apps.evaluation._scoring import PlanScore, score_plan, tool_recall
from plait.apps.evaluation._sixteen import assistant_defaults, assistant_toolbox
from plait.apps.evaluation._values import ASSISTANT_RULES
from plait.planners import Plan, Task, parse_plan

TOOLBOX = assistant_toolbox()


def plan(text: str) -> Plan:
    return Plan(tuple(parse_plan(text)))


def score(gold: str, attempt: str) -> PlanScore:
    return score_plan(plan(gold), plan(attempt), TOOLBOX, complete=assistant_defaults, rules=ASSISTANT_RULES)


TWO_MESSAGES = """\
1. get_phone_number(name="Ana")
2. get_phone_number(name="Bo")
3. send_sms(recipients=[$1], message="come at five")
4. send_sms(recipients=[$2])
"""
TWO_MEETINGS = """\
1. get_email_address(name="Ana")
2. get_email_address(name="Bo")
3. create_calendar_event(title="One", start_date="2026-11-20 10:00", invitees=[$1])
4. create_calendar_event(title="Two", start_date="2026-11-21 10:00", invitees=[$2])
"""


def test_the_right_plan_is_right_in_any_order() -> None:
    attempt = """\
1. get_email_address(name="bo")
2. create_calendar_event(title="two", start_date="21 Nov 2026 10am", invitees=$1)
3. get_email_address(name="ANA")
4. create_calendar_event(title="One", start_date="2026-11-20T10", end_date="2026-11-20 11:00", invitees=[$3])
"""
    assert score(TWO_MEETINGS, attempt) == PlanScore(True, True, True, "")


def test_invitations_that_go_to_the_wrong_one_of_two_have_wrong_arguments() -> None:
    swapped = TWO_MEETINGS.replace("[$1]", "[$9]").replace("[$2]", "[$1]").replace("[$9]", "[$2]")
    found = score(TWO_MEETINGS, swapped)
    assert (found.success, found.arguments_right) == (True, False)
    assert found.detail


def test_all_isomorphisms_are_tried_for_one_in_which_the_arguments_are_right() -> None:
    names = [f"Person {i}" for i in range(12)]
    calls = [f'{i}. get_email_address(name="{name}")' for i, name in enumerate(names, 1)]
    backwards = [f'{i}. get_email_address(name="{name}")' for i, name in enumerate(reversed(names), 1)]
    mail = f"13. compose_new_email(recipients=[{', '.join(f'${i}' for i in range(1, 13))}])"
    assert score("\n".join([*calls, mail]), "\n".join([*backwards, mail])).arguments_right


@pytest.mark.parametrize(
    ("attempt", "detail"),
    [
        ("1. join()", "call of get_phone_number missing"),
        (TWO_MESSAGES + '5. create_note(name="x")', "extra call of create_note"),
        (TWO_MESSAGES.replace("[$2]", '["+1"]'), "send_sms does not use get_phone_number's result"),
        (
            TWO_MESSAGES.replace("five", "five ${2}"),
            "send_sms uses get_phone_number's result, and should not",
        ),
        (
            TWO_MESSAGES.replace("[$2]", "[$1]"),
            "the calls use results of the wrong ones of several calls of one tool",
        ),
    ],
)
def test_the_first_thing_that_is_wrong_with_the_graph_is_told(attempt: str, detail: str) -> None:
    found = score(TWO_MESSAGES, attempt)
    assert (found.success, found.arguments_right, found.detail) == (False, False, detail)


@pytest.mark.parametrize(
    ("old", "new", "detail"),
    [
        ("Bo", "Bob", 'name of get_email_address is "Bob", not "Bo"'),
        (
            "2026-11-21 10:00",
            "2026-11-22 10:00",
            'start_date of create_calendar_event is "2026-11-22 10:00", not "2026-11-21 10:00"',
        ),
        ('title="Two", ', "", 'title of create_calendar_event is missing, and should be "Two"'),
    ],
)
def test_the_first_wrong_argument_is_told(old: str, new: str, detail: str) -> None:
    found = score(TWO_MEETINGS, TWO_MEETINGS.replace(old, new))
    assert (found.success, found.arguments_right, found.right_tools) == (True, False, True)
    assert found.detail == detail


def test_defaults_are_filled_in_before_arguments_are_compared() -> None:
    gold = """\
1. create_calendar_event(title="x", start_date="2026-11-20 10:00", end_date="2026-11-20 11:00", location="")
2. maps_show_directions(end_location="Rome", transport="d")
3. get_zoom_meeting_link(topic="x", start_time="2026-11-20 10:00", duration=60, meeting_invitees=[])
"""
    attempt = """\
1. maps_show_directions(end_location="rome")
2. get_zoom_meeting_link(topic="x", start_time="2026-11-20 10:00")
3. create_calendar_event(title="x", start_date="2026-11-20 10:00", notes="extra")
"""
    assert score(gold, attempt).arguments_right
    assert not score(gold, attempt.replace('"rome"', '"rome", transport="w"')).arguments_right


def test_an_end_that_the_right_plan_fixes_cannot_be_left_out_when_it_is_no_hour_later() -> None:
    gold = '1. create_calendar_event(title="x", start_date="2026-11-20 10:00", end_date="2026-11-20 10:30")'
    assert not score(gold, gold.replace(', end_date="2026-11-20 10:30"', "")).arguments_right


def test_null_in_the_right_plan_is_any_text() -> None:
    gold = '1. send_sms(recipients=["+1"], message=null)'
    assert score(gold, gold.replace("null", '"hello"')).arguments_right
    found = score(gold, gold.replace("null", '""'))
    assert found.detail == 'message of send_sms is "", not any text'


def test_an_empty_plan_is_right_where_nothing_is_to_be_done() -> None:
    assert score("1. join()", "1. join()") == PlanScore(True, True, True, "")
    assert score("1. join()", '1. open_note(name="x")').detail == "extra call of open_note"


def test_calls_of_unknown_tools_and_unwritable_values_are_judged_like_any_others() -> None:
    gold = Plan((Task(1, "unheard_of", {"x": 1}),))
    attempt = Plan((Task(1, "unheard_of", {"x": float("nan")}),))
    assert score_plan(gold, attempt, TOOLBOX).detail == "x of unheard_of is nan, not 1"


def test_long_values_are_cut_in_the_sentence() -> None:
    gold = '1. open_note(name="x")'
    assert len(score(gold, gold.replace("x", "y" * 500)).detail) < 200


def test_tool_recall_is_the_share_of_the_right_tools_that_was_offered() -> None:
    gold = plan(TWO_MESSAGES)
    assert tool_recall(gold, TOOLBOX) == 1.0
    assert tool_recall(gold, TOOLBOX.subset(["send_sms", "open_note"])) == 0.5
    assert tool_recall(Plan(), TOOLBOX.subset([])) == 1.0
