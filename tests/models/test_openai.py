import json
from typing import Any

import pytest

from plait.models._openai import AnswerReader
from plait.models._refusals import RequestContext
from plait.models._types import Generation, Usage

TIMINGS = {
    "cache_n": 236,
    "prompt_n": 12,
    "prompt_ms": 30.5,
    "predicted_n": 35,
    "predicted_ms": 661,
    "draft_n": 20,
    "draft_n_accepted": 15,
}
USAGE = {"prompt_tokens": 248, "completion_tokens": 35, "total_tokens": 283}


async def nothing() -> Any:
    return
    yield


def read(*chunks: dict[str, Any]) -> Usage:
    """The usage of an answer of these chunks."""
    generation = Generation(chunks=nothing())
    reader = AnswerReader(generation, RequestContext("m", "http://localhost/v1/chat/completions"))
    for chunk in [{"choices": [{"delta": {"content": "ok"}, "finish_reason": "stop"}]}, *chunks]:
        reader.read(json.dumps(chunk))
    reader.finish()
    return generation.usage


def test_llama_servers_own_measurements_are_taken() -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 236}}
    usage = read({"choices": [], "usage": USAGE | details, "timings": TIMINGS})
    assert usage == Usage(
        prompt_tokens=248,
        cached_tokens=236,
        completion_tokens=35,
        draft_tokens=20,
        accepted_tokens=15,
        prefill_s=0.0305,
        decode_s=0.661,
    )


def test_an_old_llama_server_tells_the_cached_tokens_by_those_that_it_computed() -> None:
    timings = {"prompt_n": 12, "prompt_ms": 30.5, "predicted_n": 35, "predicted_ms": 661.0}
    assert read({"choices": [], "usage": USAGE, "timings": timings}).cached_tokens == 236
    assert read({"choices": [], "timings": timings}, {"choices": [], "usage": USAGE}).cached_tokens == 236


def test_tokens_are_counted_by_the_timings_if_there_is_no_usage() -> None:
    usage = read({"choices": [], "timings": TIMINGS})
    assert (usage.prompt_tokens, usage.completion_tokens) == (248, 35)


def test_the_last_timings_count() -> None:
    usage = read({"choices": [], "timings": TIMINGS | {"predicted_ms": 1}}, {"timings": TIMINGS})
    assert usage.decode_s == 0.661


def test_vllm_tells_the_cached_tokens_if_it_was_started_so() -> None:
    assert read({"usage": USAGE | {"prompt_tokens_details": {"cached_tokens": 240}}}).cached_tokens == 240
    assert read({"usage": USAGE | {"prompt_tokens_details": None}}).cached_tokens == 0


def test_predicted_outputs_count_as_drafts() -> None:
    details = {"accepted_prediction_tokens": 5, "rejected_prediction_tokens": 3}
    usage = read({"usage": USAGE | {"completion_tokens_details": details}})
    assert (usage.draft_tokens, usage.accepted_tokens) == (8, 5)


def test_vllms_own_measurements_are_taken() -> None:
    drafts = {"num_draft_tokens": 129, "num_accepted_draft_tokens": 10, "acceptance_histogram": [39, 1]}
    metrics = {"time_to_first_token_ms": 85.5, "generation_time_ms": 1240, "speculative_decoding": drafts}
    usage = read({"choices": [], "usage": USAGE, "metrics": metrics})
    assert (usage.prefill_s, usage.decode_s) == (0.0855, 1.24)
    assert (usage.draft_tokens, usage.accepted_tokens) == (129, 10)
    assert read({"usage": USAGE, "metrics": {"speculative_decoding": None}}).draft_tokens == 0


@pytest.mark.parametrize("wrong", ["many", -1, [], {}, True, {"cached_tokens": "many"}, None])
def test_numbers_of_wrong_types_do_not_cost_the_answer(wrong) -> None:
    assert read({"usage": wrong, "timings": wrong, "metrics": wrong}) == Usage()
    assert read({"metrics": {"speculative_decoding": wrong, "generation_time_ms": wrong}}) == Usage()
    usage = {"prompt_tokens": wrong, "completion_tokens": 35, "prompt_tokens_details": wrong}
    timings = {name: wrong for name in TIMINGS if name != "predicted_n"} | {"predicted_n": 35}
    assert read({"usage": usage, "timings": timings}) == Usage(completion_tokens=35)


def test_times_that_are_no_numbers_are_left_to_be_measured_here() -> None:
    usage = read({"usage": USAGE, "timings": TIMINGS | {"prompt_ms": None, "predicted_ms": -1}})
    assert (usage.prefill_s, usage.decode_s) == (0.0, 0.0)
