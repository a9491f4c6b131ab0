import json
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from random import Random

import pytest
from llguidance import LLMatcher, LLTokenizer

from plait.errors import ConfigurationError
from plait.planners import (
    Plan,
    PlanContext,
    Ref,
    Task,
    Template,
    parse_plan,
    plan_grammar,
    print_plan,
    resolve_moment,
    resolve_moments,
)
from plait.planners._forms import Source
from plait.planners._grammar import plan_lark
from plait.tools import Tool, Toolbox
from plait.training import (
    SPLITS,
    UNSEEN,
    DataSet,
    Recipe,
    ToolboxSkeletons,
    assistant_skeletons,
    other_skeletons,
    read_skeletons,
    synthesize,
    write_data_set,
)
from plait.training._conversations import converse
from plait.training._data_set import _part, depth, overlap_of
from plait.training._joined import can_be_joined, join
from plait.training._phrasing import STYLES, Part, Style, phrase
from plait.training._skeletons import TURN, Skeleton, Slot, SlotUse, tool_of
from plait.training._slots import Filled, Filler, Vocabulary, value_of
from plait.training._synth import Item, assistant_guises, make_item
from plait.training._variants import as_it_is, vary, without

NOW = datetime(2026, 3, 4, 9, 12)


@pytest.fixture(scope="module")
def main(assistant: Toolbox) -> ToolboxSkeletons:
    return assistant_skeletons(assistant)


def skeleton(assistant: Toolbox, query: str, plan: str) -> Skeleton:
    [found] = read_skeletons(json.dumps({"q": query, "plan": plan}), name="test", toolbox=assistant)
    return found


def item_of(  # type: ignore[no-untyped-def]
    found: Skeleton,
    toolbox: Toolbox,
    style: Style,
    monkeypatch: pytest.MonkeyPatch,
    seed: int = 1,
    given: float = 0.0,
    lasting: float = 0.0,
):
    monkeypatch.setattr("plait.training._synth.STYLES", {style: 1.0})
    monkeypatch.setattr("plait.training._phrasing._WRAPS", {"before": 0.0, "after": 0.0})
    random = Random(seed)
    return make_item(
        found, toolbox, as_it_is(toolbox), NOW, Vocabulary(random), random, given=given, lasting=lasting
    )


# Slots


def test_slots_of_one_request_differ_and_moments_rise(assistant: Toolbox) -> None:
    found = skeleton(
        assistant,
        "{p1} {p2} {p3} {t1:datetime} {t2:datetime} {c1:clock} {c2:clock} {topic1} {topic2}",
        "create_calendar_event(title={topic1}, start_date={t1}, end_date={t2})",
    )
    for seed in range(60):
        random = Random(seed)
        filled = Filler(Vocabulary(random), NOW, random, spoken=False).fill(found)
        words = [one.words.casefold() for one in filled.values()]
        assert len(set(words)) == len(words)
        first, second = filled["t1"].at, filled["t2"].at
        assert first is not None
        assert second is not None
        assert first < second
        assert filled["c1"].value < filled["c2"].value


def test_a_person_that_pronouns_speak_of_is_he_or_she(assistant: Toolbox) -> None:
    found = skeleton(assistant, "text {p1} that {p1:he} was right", "get_phone_number(name={p1})")
    for seed in range(60):
        random = Random(seed)
        assert Filler(Vocabulary(random), NOW, random, spoken=False).fill(found)["p1"].pronoun != "they"


def test_who_has_a_name_is_looked_up_by_it_and_others_by_what_they_are(assistant: Toolbox) -> None:
    vocabulary = Vocabulary(Random(1))
    people = [vocabulary.person() for _ in range(20_000)]
    called = {person.words: person.value for person in people}
    looked_up = {
        "my landlord Piet": "Piet",
        "our priest Father Ambrose": "Father Ambrose",
        "my colleague Ji-won": "Ji-won",
        "our landlady": "landlady",
        "the IT guy": "IT guy",
        "cousin Femi": "cousin Femi",
        "Hugo van den Berghe": "Hugo van den Berghe",
    }
    assert {words: called[words] for words in looked_up} == looked_up


def test_a_later_moment_is_reckoned_from_the_first(assistant: Toolbox) -> None:
    found = skeleton(
        assistant,
        "{t1:datetime} for {m1:minutes}",
        'create_calendar_event(title="x", start_date={t1}, end_date={t1+m1})',
    )
    random = Random(5)
    filled = Filler(Vocabulary(random), NOW, random, spoken=False).fill(found)
    minutes = filled["m1"].value
    assert value_of(SlotUse("t1", "m1"), filled) == f"{filled['t1'].value}+{minutes}m"
    for seed in range(60):
        item = make_item(found, assistant, as_it_is(assistant), NOW, Vocabulary(Random(seed)), Random(seed))
        [task] = (resolve_moments(task, assistant[task.tool], NOW) for task in item.plan)
        start, end = (datetime.fromisoformat(task.arguments[key]) for key in ("start_date", "end_date"))
        assert start > NOW
        assert 10 <= (end - start).total_seconds() / 60 <= 240


@pytest.mark.parametrize(
    ("value", "later"),
    [("Fri 15:00", "Fri 15:00+30m"), ("+20m", "+50m"), ("Fri", "Fri 00:00+30m")],
)
def test_minutes_are_added_to_whatever_names_a_moment(value: str, later: str) -> None:
    filled = {"t1": Filled("", value, NOW)}
    assert value_of(SlotUse("t1", "30"), filled) == later


def test_a_day_where_a_tool_takes_a_moment_is_its_midnight(
    assistant: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = skeleton(
        assistant, "remind me {t1:date}", 'create_reminder(name="x", due_date={t1}, all_day=True)'
    )
    [task] = item_of(found, assistant, "written", monkeypatch).plan
    assert task.arguments["due_date"].endswith(" 00:00")


def test_names_of_two_shares_have_nothing_in_common() -> None:
    def names(share: tuple[float, float]) -> set[str]:
        vocabulary = Vocabulary(Random(0), share)
        return {vocabulary.person().words for _ in range(3000)}

    train, validation = names((0.0, 0.9)), names((0.9, 1.0))
    assert len(train) > 500
    assert len(validation) > 50
    assert not train & validation


# Items


def test_values_stand_where_they_are_arguments_and_words_where_they_are_text(
    assistant: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = skeleton(
        assistant,
        "tell {p1} by text: {t1:datetime}, and remind me {t1:datetime}",
        'get_phone_number(name={p1})\nsend_sms(recipients=[$1], message="See you {t1}, {p1}")\n'
        'create_reminder(name="Meet {p1}", due_date="{t1}")',
    )
    item = item_of(found, assistant, "written", monkeypatch)
    phone, sms, reminder = item.plan
    words = item.query.removeprefix("tell ").partition(" by text: ")
    assert item.query.startswith("tell ")
    assert phone.arguments["name"] == words[0].removeprefix("my ").removeprefix("the ").removeprefix("our ")
    assert sms.arguments["message"] == f"See you {words[2].partition(', and remind')[0]}, {words[0]}"
    assert datetime.fromisoformat(resolve_moment(reminder.arguments["due_date"], NOW)) > NOW


def test_a_transcript_has_no_capitals_and_its_plan_has_none_that_were_said(
    assistant: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = skeleton(assistant, "What's {p1}'s number? Quick!", "get_phone_number(name={p1})")
    item = item_of(found, assistant, "spoken", monkeypatch)
    assert item.query == item.query.lower()
    assert "?" not in item.query
    [task] = item.plan
    assert task.arguments["name"] in item.query


def test_a_name_that_is_copied_is_spelled_as_the_request_has_it(
    assistant: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = skeleton(
        assistant,
        "In the Travel notes folder open {note1}; on the errands list: stamps",
        'open_note(name={note1}, folder="Travel notes")\ncreate_reminder(name="Stamps", list_name="Errands")',
    )
    for style, folder in (("written", "Travel notes"), ("spoken", "travel notes")):
        note, reminder = item_of(found, assistant, style, monkeypatch).plan
        assert note.arguments["folder"] == folder
        assert reminder.arguments == {"name": "Stamps", "list_name": "errands"}


def test_each_request_of_a_conversation_is_taken_at_its_own_words(
    assistant: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("Stamps", "Milk")
    calls = "\n".join(f'create_reminder(name="{name}", list_name="Errands")' for name in names)
    both = skeleton(assistant, f"Errands: stamps {TURN} and milk on errands, too", calls)
    item = item_of(replace(both, turns=(1,)), assistant, "written", monkeypatch)
    [[stamps], [milk]] = [[call.task for call in item.earlier[0].calls], list(item.plan)]
    assert stamps.arguments == {"name": "Stamps", "list_name": "Errands"}
    assert milk.arguments == {"name": "Milk", "list_name": "errands"}


def test_slips_of_the_fingers_leave_values_and_repeated_words_alone() -> None:
    parts = [
        Part("please remember to buy ", is_value=False),
        Part("Marmalade", is_value=True),
        Part(" perhaps somewhere", is_value=False),
    ]
    slipped = set()
    for seed in range(200):
        said = phrase(parts, "hasty", Random(seed), keep=["somewhere nice"])
        text = "".join(part.text for part in said)
        assert "Marmalade" in text
        assert "somewhere" in text
        slipped.add("perhaps" not in text)
    assert slipped == {True, False}


def test_who_types_on_a_telephone_shortens_words_that_the_plan_does_not_repeat() -> None:
    parts = [
        Part("Please mail the file to ", is_value=False),
        Part("the Two of You", is_value=True),
        Part(" and tell them to bring the ladder, for two hours from 9 to 5", is_value=False),
    ]
    found = set()
    for seed in range(300):
        said = phrase(parts, "hasty", Random(seed), keep=["bring the ladder"])
        text = "".join(part.text for part in said)
        assert "the Two of You" in text
        assert "the ladder" in text
        assert "4 two" not in text
        assert "9 2 5" not in text
        found |= set(text.split())
    assert {"pls", "plz", "2", "n", "&", "thm", "em", "teh"} <= found


def test_who_types_on_a_telephone_minds_the_words_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plait.training._phrasing._slip", lambda word, random: word)
    texts = ("Ada Cole", " and ", "Bo Li", " at ", "3 PM", " for ", "Cy", " the meeting")
    parts = [Part(text, is_value=text[0] != " ") for text in texts]
    keep = ["Ada Cole and Bo Li", "Meeting"]
    said = {"".join(p.text for p in phrase(parts, "hasty", Random(seed), keep=keep)) for seed in range(200)}
    assert all("Ada Cole and Bo Li" in text and "3 PM for Cy" in text for text in said)
    assert not any("mtg" in text for text in said)
    assert any("Cy teh" in text for text in said)


def context_of(item: Item) -> PlanContext:
    """What the planner is told when that request is made."""
    n_before = sum(len(turn.calls) for turn in item.earlier)
    return PlanContext(
        item.query,
        now=item.now,
        history=item.earlier,
        instructions=item.instructions,
        first_number=n_before + 1,
    )


def test_every_plan_obeys_the_grammar_of_the_tools_that_are_offered(main: ToolboxSkeletons) -> None:
    others = other_skeletons()
    strangers = [tool for box in others for tool in box.toolbox]
    tokenizer = LLTokenizer("byte")
    for source, guises in ((main, assistant_guises()), *((box, None) for box in others[:12])):
        fitting = [tool for tool in strangers if tool.name not in source.toolbox.names]
        for group in synthesize(source, Recipe(48, seed=11), others=fitting, guises=guises):
            for item in group.items:
                first = context_of(item).next_number
                grammar = plan_grammar(group.toolbox, dialect="relative", first=first).lark
                text = print_plan(item.plan, group.toolbox, dialect="relative", first=first)
                matcher = LLMatcher(tokenizer, grammar)
                assert matcher.consume_tokens(tokenizer.tokenize_str(text)), (item.skeleton, text)
                assert matcher.is_accepting()
                earlier = range(1, first)
                assert parse_plan(str(item.plan), first=first, earlier=earlier) == list(item.plan)


def test_what_plans_have_from_requests_can_be_found_there(main: ToolboxSkeletons) -> None:
    tokenizer = LLTokenizer("byte")
    for group in synthesize(main, Recipe(240, seed=13, as_it_is=1.0)):
        for item in group.items:
            context = context_of(item)
            first = context.next_number
            lark = plan_lark(
                group.toolbox,
                first=first,
                dialect="relative",
                earlier={task.id: group.toolbox[task.tool] for task in context.earlier_tasks},
                source=Source.of(context.texts),
                copies=True,
            )
            text = print_plan(item.plan, group.toolbox, dialect="relative", first=first)
            matcher = LLMatcher(tokenizer, lark)
            assert matcher.consume_tokens(tokenizer.tokenize_str(text)), (item.query, text)
            assert matcher.is_accepting()


def test_the_same_seed_gives_the_same_requests(main: ToolboxSkeletons) -> None:
    first, again, other = (
        [group.as_json() for group in synthesize(main, Recipe(48, seed=seed))] for seed in (3, 3, 4)
    )
    assert first == again != other


def test_skeletons_are_used_about_equally(main: ToolboxSkeletons) -> None:
    few = ToolboxSkeletons("few", main.toolbox, main.skeletons[:10])
    used = [item.skeleton for group in synthesize(few, Recipe(96, joined=0.0)) for item in group.items]
    counts = {name: used.count(name) for name in used}
    assert len(counts) == 10
    assert max(counts.values()) - min(counts.values()) <= 1


# Variants


def chain() -> Plan:
    tasks = (
        Task(1, "find", {"name": "a"}),
        Task(2, "look", {}),
        Task(3, "send", {"to": Ref(1), "text": Template(("see ", Ref(2)))}),
        Task(4, "note", {"text": Ref(2)}),
    )
    return Plan(tasks)


def test_without_a_tool_the_part_of_the_plan_that_needs_it_goes_with_its_lookups() -> None:
    alone = Task(5, "remind", {"text": "milk"})
    more = Plan((*chain().tasks, alone, Task(6, "tell", {"of": Ref(5)})))
    left = without(more, ["look"])
    assert left is not None
    assert [(task.id, task.tool) for task in left] == [(1, "remind"), (2, "tell")]
    assert left.tasks[1].arguments == {"of": Ref(1)}
    assert without(chain(), ["look"]) == Plan()
    assert without(more, []) == more


def test_without_a_tool_nothing_is_certain_where_something_else_was_to_be_done_with_it() -> None:
    assert without(chain(), ["send"]) is None  # should the note still be made?
    assert without(chain(), ["find"]) is None


def test_a_variant_translates_plans(assistant: Toolbox) -> None:
    plan = Plan(
        (
            Task(1, "get_phone_number", {"name": "Ada"}),
            Task(2, "send_sms", {"recipients": [Ref(1)], "message": "hi"}),
        )
    )
    translated = set()
    for seed in range(80):
        variant = vary(assistant, Random(seed), guises=assistant_guises(), may_drop=False)
        new = variant.plan(plan)
        assert new is not None
        assert [task.dependencies for task in new] == [frozenset(), {1}]
        for task in new:
            variant.toolbox[task.tool].validate(
                {k: ["x"] if isinstance(v, list) else v for k, v in task.arguments.items()}
            )
        translated.add(tuple(task.tool for task in new))
    assert len(translated) > 10


def test_strangers_that_might_serve_the_same_are_not_mixed_in(main: ToolboxSkeletons) -> None:
    rival = tool_of("mail_out(recipients: list[str]): Writes an email to somebody.")
    stranger = tool_of("orbit(planet: str): Tells how long a year is there.")
    groups = list(
        synthesize(main, Recipe(600, distractors=1.0, as_it_is=0.0), others=[rival, stranger, stranger])
    )
    offered = {tool.name for group in groups for tool in group.toolbox}
    assert any("orbit" in name for name in offered)
    assert not any("mail_out" in name for name in offered)


def test_where_strangers_are_offered_no_plan_is_empty(main: ToolboxSkeletons) -> None:
    stranger = tool_of("orbit(planet: str): Tells how long a year is there.")
    for group in synthesize(main, Recipe(240, distractors=1.0, as_it_is=0.0), others=[stranger]):
        if "orbit" in group.toolbox.names:
            assert all(len(item.plan) for item in group.items)


def test_requests_that_no_tool_serves_are_made_where_there_are_no_others(main: ToolboxSkeletons) -> None:
    stranger = tool_of("orbit(planet: str): Tells how long a year is there.")
    empty = tuple(skeleton for skeleton in main.skeletons if not skeleton.plan.tasks)
    source = ToolboxSkeletons("empty", main.toolbox, empty)
    groups = list(synthesize(source, Recipe(48, distractors=1.0, as_it_is=0.0), others=[stranger]))
    assert sum(len(group.items) for group in groups) == 48
    assert not any("orbit" in group.toolbox.names for group in groups)


def test_guises_fit_the_tools(assistant: Toolbox) -> None:
    guises = assistant_guises()
    assert guises.keys() == set(assistant.names)
    names = [name for guise in guises.values() for name in guise.names]
    assert len(set(names)) == len(names)
    for tool in assistant:
        assert guises[tool.name].arguments.keys() == {argument.name for argument in tool.arguments.fields}


# Data sets


def test_a_data_set_has_parts_without_a_common_skeleton_and_a_report(
    main: ToolboxSkeletons, tmp_path: Path
) -> None:
    data = DataSet(main, tuple(other_skeletons()), has_guises=True)
    recipes = {split: Recipe(90, group_size=6) for split in SPLITS}
    counted: list[int] = []
    report = write_data_set(
        data, tmp_path / "set", recipes, compare_with=["Sing me a song about the sea"], done=counted.append
    )
    seen = {}
    for split in SPLITS:
        lines = (tmp_path / "set" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        groups = [json.loads(line) for line in lines]
        items = [item for group in groups for item in group["items"]]
        assert len(items) == report.splits[split].n_requests == sum(report.splits[split].calls.values())
        seen[split] = {item["skeleton"] for item in items}
        boxes = {group["toolbox"] for group in groups}
        assert (boxes <= UNSEEN) == (split == "unseen")
        Toolbox(Tool.from_schema(tool) for tool in groups[0]["tools"])
    assert not seen["train"] & seen["validation"]
    assert sum(counted) == sum(part.n_requests for part in report.splits.values())
    assert set(report.splits["train"].styles) == set(STYLES)
    assert report.overlap is not None
    assert json.loads((tmp_path / "set" / "report.json").read_text()) == json.loads(
        json.dumps(report.as_json())
    )
    with pytest.raises(ConfigurationError, match="already"):
        write_data_set(data, tmp_path / "set", recipes)


def test_depth_is_the_longest_chain() -> None:
    assert depth(chain()) == 2
    assert depth(Plan()) == 0


def test_requests_that_the_skeletons_know_are_found(main: ToolboxSkeletons) -> None:
    few = DataSet(ToolboxSkeletons("few", main.toolbox, main.skeletons))
    requests = ["".join(p if isinstance(p, str) else "Zed" for p in s.parts) for s in main.skeletons]
    known = overlap_of(few, requests)
    assert known is not None
    assert 0.7 * len(requests) < known.same_requests <= len(requests)
    strange = overlap_of(few, ["Sing me a slow song about seven silver seals by the sea"])
    assert strange is not None
    assert (strange.n_requests, strange.same_requests, strange.shared_grams) == (1, 0, 0)
    assert strange.n_grams == 8
    assert overlap_of(few, []) is None


def test_a_value_that_is_no_moment_takes_no_minutes() -> None:
    with pytest.raises(ValueError, match="no moment"):
        value_of(SlotUse("n1", "5"), {"n1": Filled("two", 2)})


def test_many_clocks_in_one_request_come_in_their_order(assistant: Toolbox) -> None:
    found = skeleton(assistant, "{c1:clock} {c2:clock} {c3:clock} {c4:clock}", "")
    for seed in range(300):
        random = Random(seed)
        filled = Filler(Vocabulary(random), NOW, random, spoken=False).fill(found)
        values = [filled[f"c{n}"].value for n in range(1, 5)]
        assert values == sorted(set(values))


@pytest.mark.parametrize(
    "names",
    [("only",), ("add_note", "create_note", "put_note"), ("get_user", "getUser"), ("掃除", "öffne_tür")],
)
def test_tools_of_any_names_can_be_varied(names: tuple[str, ...]) -> None:
    toolbox = Toolbox(Tool.from_schema({"name": name, "description": "Does it."}) for name in names)
    for seed in range(200):
        variant = vary(toolbox, Random(seed))
        assert len(variant.toolbox) == len(variant.names) >= min(2, len(names))
        assert all(name.strip("_.") for name in variant.toolbox.names)


def test_descriptions_of_arguments_speak_of_tools_that_are_offered(assistant: Toolbox) -> None:
    for seed in range(60):
        variant = vary(assistant, Random(seed), guises=assistant_guises())
        for tool in variant.toolbox:
            for argument in tool.arguments.fields:
                for old in assistant.names:
                    if old in argument.description:
                        assert any(old in name for name in variant.toolbox.names)


def test_between_two_names_a_transcript_has_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plait.training._phrasing._WRAPS", {"before": 0.0, "after": 0.0})
    parts = [
        Part("Ada", is_value=True),
        Part(", ", is_value=False),
        Part("Bo", is_value=True),
        Part(" come today.", is_value=False),
    ]
    for seed in range(60):
        assert "".join(p.text for p in phrase(parts, "spoken", Random(seed))) == "ada and bo come today"


def test_words_that_a_plan_has_as_numbers_have_no_slips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plait.training._phrasing._WRAPS", {"before": 0.0, "after": 0.0})
    parts = [Part("for four hours on Friday, walking", is_value=False)]
    for seed in range(60):
        assert phrase(parts, "hasty", Random(seed)) == parts


def test_all_names_of_a_part_differ_from_those_of_the_other_part_whatever_they_name() -> None:
    def names(share: tuple[float, float]) -> set[str]:
        vocabulary = Vocabulary(Random(0), share)
        kinds = (
            "note",
            "list",
            "folder",
            "cal",
            "place",
            "city",
            "topic",
            "thing",
            "event",
            "pdf",
            "doc",
            "sheet",
        )
        return {vocabulary.named(kind).casefold() for kind in kinds for _ in range(800)}

    train, validation = names((0.0, 0.9)), names((0.9, 1.0))
    assert len(validation) > 100
    assert not train & validation


def test_few_skeletons_are_refused_and_two_are_divided(main: ToolboxSkeletons, tmp_path: Path) -> None:
    def data(n: int) -> DataSet:
        return DataSet(ToolboxSkeletons("few", main.toolbox, main.skeletons[:n]))

    with pytest.raises(ConfigurationError, match="1 skeletons"):
        next(data(1).groups("train", Recipe(5)))
    for split in ("train", "validation"):
        [group] = data(2).groups(split, Recipe(5))
        assert len(group.items) == 5
    assert list(data(2).groups("unseen", Recipe(5))) == []


def test_what_is_to_be_kept_in_mind_is_only_trained_on(main: ToolboxSkeletons) -> None:
    kept = [replace(one, keep="Be brief.") for one in main.skeletons[:2]]
    few = ToolboxSkeletons("few", main.toolbox, (*kept, *main.skeletons[2:5]))
    train, validation = (_part(few, split).skeletons for split in ("train", "validation"))
    assert {one.id for one in kept} <= {one.id for one in train}
    assert len(validation) == 1
    assert sorted(one.id for one in (*train, *validation)) == sorted(one.id for one in few.skeletons)
    only = ToolboxSkeletons("few", main.toolbox, (main.skeletons[2], *kept))
    assert _part(only, "validation").skeletons == (main.skeletons[2],)
    with pytest.raises(ConfigurationError, match="write some without"):
        next(DataSet(replace(only, skeletons=tuple(kept))).groups("train", Recipe(5)))


def test_the_number_of_requests_is_what_was_asked_for(main: ToolboxSkeletons) -> None:
    data = DataSet(main, tuple(other_skeletons()))
    groups = list(data.groups("train", Recipe(200)))
    assert sum(len(group.items) for group in groups) == 200
    assert sum(len(group.items) for group in groups if group.name == "assistant") == 120


def test_a_file_that_is_in_the_way_is_left_alone(main: ToolboxSkeletons, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"train\.jsonl already"):
        write_data_set(DataSet(main), tmp_path, {"train": Recipe(5)})
    assert (tmp_path / "train.jsonl").read_text() == "mine"


def test_more_slots_of_a_kind_than_there_are_values_are_refused(assistant: Toolbox) -> None:
    found = skeleton(assistant, " ".join(f"{{cal{n}}}" for n in range(1, 90)), "")
    random = Random(1)
    with pytest.raises(ConfigurationError, match="too few values"):
        Filler(Vocabulary(random), NOW, random, spoken=False).fill(found)


# Addresses, numbers and paths instead of names


def test_what_is_given_is_not_looked_up(assistant: Toolbox, monkeypatch: pytest.MonkeyPatch) -> None:
    found = skeleton(
        assistant,
        "mail {f1:pdf} to {p1}, text {p2} that it's done",
        "get_email_address(name={p1})\nopen_and_get_file_path(file_name={f1})\n"
        "compose_new_email(recipients=[$1], attachments=[$2])\n"
        'get_phone_number(name={p2})\nsend_sms(recipients=[$4], message="It\'s done.")',
    )
    item = item_of(found, assistant, "written", monkeypatch, given=1.0)
    assert [task.tool for task in item.plan] == ["compose_new_email", "send_sms"]
    mail, sms = item.plan
    [address], [path], [number] = (
        mail.arguments["recipients"],
        mail.arguments["attachments"],
        sms.arguments["recipients"],
    )
    assert all(value in item.query for value in (address, path, number))
    assert "@" in address
    assert path.startswith(("/", "~", "C:"))
    assert item.tools == {"compose_new_email", "send_sms"}


def test_an_address_that_is_spoken_is_spelled(assistant: Toolbox, monkeypatch: pytest.MonkeyPatch) -> None:
    found = skeleton(
        assistant,
        "mail {p1} and text {p2} hello",
        'get_email_address(name={p1})\ncompose_new_email(recipients=[$1], context="Hello")\n'
        'get_phone_number(name={p2})\nsend_sms(recipients=[$3], message="Hello")',
    )
    item = item_of(found, assistant, "spoken", monkeypatch, given=1.0)
    mail, lookup, sms = item.plan
    [address] = mail.arguments["recipients"]
    name, domain = address.split("@")
    assert f"at {domain.replace('.', ' dot ')}" in item.query
    assert "@" not in item.query
    assert (lookup.tool, sms.arguments["recipients"]) == ("get_phone_number", [Ref(2)])
    assert name


@pytest.mark.parametrize(
    ("query", "plan"),
    [
        ("what's the address of {p1}", "get_email_address(name={p1})"),
        (
            "open {f1:pdf} and mail it to {email1}",
            "open_and_get_file_path(file_name={f1})\n"
            "compose_new_email(recipients=[{email1}], attachments=[$1])",
        ),
        (
            "mail {p1}'s boss hello, that's {p1}",
            'get_email_address(name={p1})\ncompose_new_email(recipients=[$1], context="Hello")',
        ),
        (
            "mail {p1} that {p1} won",
            'get_email_address(name={p1})\ncompose_new_email(recipients=[$1], context="{p1} won")',
        ),
        (
            "note the address of {p1} in {note1}",
            "get_email_address(name={p1})\nappend_note_content(name={note1}, content=$1)",
        ),
    ],
    ids=["asked for", "shown", "owned", "named elsewhere", "in a text"],
)
def test_what_has_to_be_looked_up_is(
    assistant: Toolbox, monkeypatch: pytest.MonkeyPatch, query: str, plan: str
) -> None:
    found = skeleton(assistant, query, plan)
    for seed in range(3):
        item = item_of(found, assistant, "written", monkeypatch, seed, given=1.0)
        assert [task.tool for task in item.plan] == [task.tool for task in found.plan]


def test_nothing_is_given_where_none_is_wanted(assistant: Toolbox, monkeypatch: pytest.MonkeyPatch) -> None:
    found = skeleton(
        assistant,
        "mail {p1} hello",
        'get_email_address(name={p1})\ncompose_new_email(recipients=[$1], context="Hello")',
    )
    assert len(item_of(found, assistant, "written", monkeypatch).plan) == 2


# What lasts


def test_what_begins_may_have_an_end_or_a_length(assistant: Toolbox, monkeypatch: pytest.MonkeyPatch) -> None:
    found = skeleton(
        assistant,
        "zoom about tea {t1:datetime}, just me",
        'get_zoom_meeting_link(topic="tea", start_time={t1})\n'
        'create_calendar_event(title="tea", start_date={t1}, location=$1)',
    )
    ways = set()
    for seed in range(40):
        item = item_of(found, assistant, "written", monkeypatch, seed, lasting=1.0)
        link, event = (resolve_moments(task, assistant[task.tool], NOW) for task in item.plan)
        assert link.arguments["start_time"] == event.arguments["start_date"]
        if re.fullmatch(r"\+\d+m", item.plan.tasks[1].arguments["start_date"]):
            assert "end_date" not in event.arguments  # "in twenty minutes for an hour" is not made
            continue
        start, end = (datetime.fromisoformat(event.arguments[name]) for name in ("start_date", "end_date"))
        assert link.arguments["duration"] == (end - start).total_seconds() / 60
        [said] = [task.arguments["end_date"] for task in item.plan if "end_date" in task.arguments]
        is_length = re.search(r"\+\d+m$", said) is not None
        assert (" for " in item.query) == is_length
        ways.add(is_length)
    assert ways == {True, False}


@pytest.mark.parametrize(
    ("query", "plan"),
    [
        ("remind me {t1:datetime} to run", 'create_reminder(name="Run", due_date={t1})'),
        (
            "run {t1:datetime} for two hours",
            'create_calendar_event(title="Run", start_date={t1}, end_date={t1+120})',
        ),
        (
            "run {t1:datetime}, remind me then",
            'create_calendar_event(title="Run", start_date={t1})\ncreate_reminder(name="Run", due_date={t1})',
        ),
        ("run {t1:date}", 'create_calendar_event(title="Run", start_date={t1})'),
        ("a run, starts {t1:datetime}", 'create_calendar_event(title="Run", start_date={t1})'),
        ("a run of 5 minutes {t1:datetime}", 'create_calendar_event(title="Run", start_date={t1})'),
    ],
    ids=["takes no end", "has an end", "used elsewhere", "a day", "asks for the start", "says its length"],
)
def test_other_moments_stay_as_they_are(
    assistant: Toolbox, monkeypatch: pytest.MonkeyPatch, query: str, plan: str
) -> None:
    found = skeleton(assistant, query, plan)
    for seed in range(3):
        kept = item_of(found, assistant, "written", monkeypatch, seed)
        assert item_of(found, assistant, "written", monkeypatch, seed, lasting=1.0) == kept


# Conversations


def test_what_an_earlier_request_has_looked_up_is_not_looked_up_again(
    assistant: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plait.training._conversations._SHARE_PEOPLE", 1.0)
    monkeypatch.setattr("plait.training._conversations._PRONOUNS", 1.0)
    before = skeleton(
        assistant,
        "Invite {p1} {t1:datetime}, title tea.",
        'get_email_address(name={p1})\ncreate_calendar_event(title="tea", start_date={t1}, invitees=[$1])',
    )
    now = skeleton(
        assistant,
        "mail {p1} hello, and text {p1:him} hello",
        'get_email_address(name={p1})\ncompose_new_email(recipients=[$1], context="Hello")\n'
        'get_phone_number(name={p1})\nsend_sms(recipients=[$3], message="Hello")',
    )
    found = converse(now, [before], Random(1))
    item = item_of(found, assistant, "written", monkeypatch, given=1.0)
    [turn] = item.earlier[-1:]
    lookup, event = turn.calls[-2:]
    assert [task.tool for task in item.plan] == ["compose_new_email", "get_phone_number", "send_sms"]
    assert item.plan.tasks[0].id == sum(len(one.calls) for one in item.earlier) + 1
    assert item.plan.tasks[0].arguments["recipients"] == [Ref(lookup.task.id)]
    assert lookup.text is not None
    assert "@" in lookup.text
    assert event.task.arguments["invitees"] == [Ref(lookup.task.id)]
    assert turn.query.startswith("Invite ")
    assert re.fullmatch("mail (him|her) hello, and text (him|her) hello", item.query)
    assert item.skeleton == now.id
    assert item.tools == {"compose_new_email", "get_phone_number", "send_sms"}


@pytest.mark.parametrize(
    "query", ["is {p1} home? text {p1}", "text {p1}'s brother {p1}", "text {p1} and {p2}", "text my boss"]
)
def test_who_could_be_somebody_else_is_called_by_name(assistant: Toolbox, query: str) -> None:
    before = skeleton(
        assistant,
        "text {p1} hello",
        'get_phone_number(name={p1})\nsend_sms(recipients=[$1], message="Hello")',
    )
    for seed in range(20):
        found = converse(Skeleton("x:1", query, Plan()), [before], Random(seed))
        assert not any(isinstance(part, Slot) and part.is_pronoun for part in found.parts)


def test_only_what_is_trained_on_has_conversations_and_instructions(main: ToolboxSkeletons) -> None:
    data = DataSet(main, other_skeletons())
    recipe = Recipe(240, conversations=0.5, instructions=0.5)
    with_some = {}
    for split in SPLITS:
        items = [item for group in data.groups(split, recipe) for item in group.items]
        with_some[split] = (any(item.earlier for item in items), any(item.instructions for item in items))
    assert with_some == {"train": (True, True), "validation": (False, False), "unseen": (False, False)}


# Instructions


def test_what_is_to_be_kept_in_mind_has_the_slots_of_the_request(
    assistant: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = {
        "keep": "My boss is {p1}.",
        "q": "call off lunch with the boss, by text",
        "plan": 'get_phone_number(name={p1})\nsend_sms(recipients=[$1], message="No lunch, sorry.")',
    }
    [found] = read_skeletons(json.dumps(line), name="test", toolbox=assistant)
    item = item_of(found, assistant, "written", monkeypatch)
    name = item.plan.tasks[0].arguments["name"]
    assert item.instructions == f"My boss is {name}."
    assert item.query == line["q"]
    assert not can_be_joined(found)


def test_a_request_with_something_to_be_kept_in_mind_is_typed(main: ToolboxSkeletons) -> None:
    items = [i for g in synthesize(main, Recipe(480, instructions=0.5, as_it_is=1.0)) for i in g.items]
    typed = {item.style for item in items if item.instructions}
    assert typed == {"written", "lower", "hasty"}  # what stands in settings is not a transcript


@pytest.mark.parametrize("keep", [7, "My boss is {boss}.", "{p1} is my boss. {q1}"])
def test_what_is_to_be_kept_in_mind_is_checked(assistant: Toolbox, keep: object) -> None:
    line = json.dumps({"keep": keep, "q": "hello {p1}", "plan": ""})
    with pytest.raises(ConfigurationError, match=r"keep|slot|brace"):
        read_skeletons(line, name="test", toolbox=assistant)


# Several requests in one breath


def test_what_is_asked_in_one_breath_is_planned_as_one(
    assistant: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plait.training._joined._SHARE_PEOPLE", 0.0)
    one = skeleton(
        assistant,
        "Text {p1} hello.",
        'get_phone_number(name={p1})\nsend_sms(recipients=[$1], message="Hello")',
    )
    other = skeleton(
        assistant,
        "Remind me {t1:datetime} to call {p1}, it takes {m1:minutes}; the event ends {m1} later",
        'create_reminder(name="Call {p1}", due_date={t1})\n'
        "create_calendar_event(title={p1}, start_date={t1}, end_date={t1+m1}, notes=$1)",
    )
    joined = join([one, other], Random(4))
    assert joined is not None
    assert [task.tool for task in joined.plan] == [
        "get_phone_number",
        "send_sms",
        "create_reminder",
        "create_calendar_event",
    ]
    assert joined.plan.tasks[3].arguments["notes"] == Ref(3)
    slots = [part.name for part in joined.parts if isinstance(part, Slot)]
    assert slots == ["p1", "t2", "p2", "m2", "m2"]
    filled = Filler(Vocabulary(Random(1)), NOW, Random(1), spoken=False).fill(joined)
    assert filled["p1"].words != filled["p2"].words
    assert joined.id == "test:1+test:1"


def test_who_is_meant_twice_is_looked_up_once(assistant: Toolbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plait.training._joined._SHARE_PEOPLE", 1.0)
    texted = skeleton(
        assistant,
        "text {p1} hello",
        'get_phone_number(name={p1})\nsend_sms(recipients=[$1], message="Hello")',
    )
    again = skeleton(
        assistant,
        "note {p1}'s number in {note1}",
        "get_phone_number(name={p1})\nappend_note_content(name={note1}, content=$1)",
    )
    joined = join([texted, again], Random(1))
    assert joined is not None
    assert [task.tool for task in joined.plan] == ["get_phone_number", "send_sms", "append_note_content"]
    assert joined.plan.tasks[2].arguments["content"] == Ref(1)


def test_too_much_for_one_breath_is_not_joined(assistant: Toolbox) -> None:
    many = skeleton(assistant, "open {f1:pdf}", "\n".join(["open_and_get_file_path(file_name={f1})"] * 5))
    assert join([many, many], Random(1)) is None
    long = skeleton(assistant, "Answer: " + "yes " * 80, 'reply_to_email(context="Yes")')
    assert join([long, long], Random(1)) is None


@pytest.mark.parametrize(
    ("query", "plan", "expected"),
    [
        ("answer with yes", 'reply_to_email(context="Yes")', True),
        ("answer with yes, that's all", 'reply_to_email(context="Yes")', False),
        ("Two things: answer with yes", 'reply_to_email(context="Yes")', False),
        ("sing something", "", False),
    ],
)
def test_only_what_leaves_room_for_more_is_joined(
    assistant: Toolbox, query: str, plan: str, expected: bool
) -> None:
    assert can_be_joined(skeleton(assistant, query, plan)) is expected


def test_a_share_of_requests_is_joined_but_never_of_unseen_toolboxes(assistant: Toolbox) -> None:
    data = DataSet(assistant_skeletons(assistant), other_skeletons())
    shares = {}
    for split in SPLITS:
        ids = [item.skeleton for group in data.groups(split, Recipe(240)) for item in group.items]
        shares[split] = sum("+" in name for name in ids) / len(ids)
    assert shares["unseen"] == 0
    assert 0.1 < shares["train"] < 0.3
    assert 0.05 < shares["validation"] < 0.3
    none = [item.skeleton for group in data.groups("train", Recipe(96, joined=0.0)) for item in group.items]
    assert not any("+" in name for name in none)


def test_joining_leaves_most_single_calls_as_they_are(assistant: Toolbox) -> None:
    def n_single(joined: float) -> int:
        recipe = Recipe(720, as_it_is=1.0, joined=joined)
        groups = list(synthesize(assistant_skeletons(assistant), recipe))
        return sum(len(item.plan) == 1 for group in groups for item in group.items)

    alone, beside_others = n_single(0.0), n_single(0.3)
    assert 0.82 * alone < beside_others < alone
