import json
from pathlib import Path
from typing import Any, get_args

import pytest

from plait.apps.evaluation._qa_data import QAKind, load_qa, suffixed
from plait.apps.evaluation._qa_examples import qa_examples
from plait.apps.evaluation._sample import SAMPLE_QUESTIONS, write_sample
from plait.errors import ConfigurationError
from plait.planners import parse_plan

KINDS: tuple[QAKind, ...] = get_args(QAKind)
MOVIE = {"id": "0", "question": "Find a movie similar to X\nOptions:\nA\nB\n", "answer": "A"}
HOTPOTQA = {"id": "0", "level": "hard", "question": "Is it?", "answer": "yes"}
PARALLELQA = {"id": "0", "question": "How high?", "answer": "7", "branch": 2}


def write(folder: Path, content: Any) -> Path:
    path = folder / "data.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_the_sample_is_read_in_order_and_each_question_says_how_to_answer(
    kind: QAKind, tmp_path: Path
) -> None:
    data = load_qa(kind, write_sample(kind, tmp_path))
    assert [item.id for item in data.items] == [q["id"] for q in SAMPLE_QUESTIONS[kind]]
    assert [item.gold for item in data.items] == [q["answer"] for q in SAMPLE_QUESTIONS[kind]]
    assert all(item.query.endswith("alone.") for item in data.items)
    assert all(item.query.startswith(item.data["question"]) for item in data.items)


def test_the_samples_are_ten_questions() -> None:
    assert sum(map(len, SAMPLE_QUESTIONS.values())) == 10


def test_categories_tell_how_many_things_are_asked_and_what_kind_of_answer(tmp_path: Path) -> None:
    parallel = load_qa("parallelqa", write(tmp_path, [PARALLELQA])).items
    assert parallel[0].category == "2 things"
    hotpot = [HOTPOTQA, {**HOTPOTQA, "id": "1", "answer": "Josip Trell"}]
    assert [i.category for i in load_qa("hotpotqa", write(tmp_path, hotpot)).items] == ["yes or no", "other"]
    assert load_qa("movie", write(tmp_path, [MOVIE])).items[0].data["options"] == ["A", "B"]


def test_the_hash_is_that_of_the_file(tmp_path: Path) -> None:
    first = load_qa("movie", write(tmp_path, [MOVIE])).sha256
    assert load_qa("movie", write(tmp_path, [MOVIE])).sha256 == first
    assert load_qa("movie", write(tmp_path, [{**MOVIE, "answer": "B"}])).sha256 != first


def test_fields_that_other_versions_of_the_data_have_are_not_read(tmp_path: Path) -> None:
    assert len(load_qa("hotpotqa", write(tmp_path, [{**HOTPOTQA, "type": "comparison"}])).items) == 1


@pytest.mark.parametrize(
    ("kind", "entry", "why"),
    [
        ("parallelqa", {**PARALLELQA, "branch": "2"}, "branch: Input should be a valid integer"),
        ("parallelqa", MOVIE, "branch: Field required"),
        ("hotpotqa", PARALLELQA, "level: Field required"),
        ("hotpotqa", {**HOTPOTQA, "answer": True}, "answer: Input should be a valid string"),
        ("hotpotqa", {**HOTPOTQA, "answer": " "}, "answer: String should have at least 1 character"),
        ("hotpotqa", {**HOTPOTQA, "id": None}, "id: "),
        ("movie", HOTPOTQA, "must follow a line 'Options:'"),
        ("movie", {**MOVIE, "answer": "C"}, "'C' is none of the options"),
        ("movie", {**MOVIE, "question": "X\nOptions:\nA\nA\n"}, "two or more different options"),
        ("movie", "a question", "Input should be a valid dictionary"),
    ],
)
def test_a_wrong_entry_is_named_by_file_and_number(
    kind: QAKind, entry: Any, why: str, tmp_path: Path
) -> None:
    good = {"parallelqa": PARALLELQA, "hotpotqa": HOTPOTQA, "movie": MOVIE}[kind]
    path = write(tmp_path, [{**good, "id": "good"}, entry])
    with pytest.raises(ConfigurationError) as refused:
        load_qa(kind, path)
    assert f"{path}, entry 2, is no question of {kind} (" in str(refused.value)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "no JSON file"),
        ('[{"id": "0"', "no JSON file"),
        ("[]", "no list of questions"),
        ({"0": MOVIE}, "no list of questions"),
        ([MOVIE, MOVIE], "entries 1 and 2 have the same id '0'"),
    ],
)
def test_a_wrong_file_is_refused(content: Any, why: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=why):
        load_qa("movie", write(tmp_path, content))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_bytes(b"\xff\xfe\x00[")
    with pytest.raises(ConfigurationError, match="no JSON file"):
        load_qa("movie", path)


def test_a_missing_file_and_an_unknown_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="give the movie data with --data"):
        load_qa("movie", tmp_path / "none.json")
    with pytest.raises(ConfigurationError, match="choose one of parallelqa, hotpotqa, movie"):
        load_qa("triviaqa", tmp_path / "none.json")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_examples_are_plans_that_parse_and_ask_as_the_items_do(kind: QAKind) -> None:
    examples = qa_examples(kind)
    assert len(examples) in (2, 3)
    for example in examples:
        assert example.query.endswith(suffixed(kind, ""))
        signatures = {"search": ["query"], "math": ["problem", "context"]}
        assert parse_plan(str(example.plan), signatures) == list(example.plan)
