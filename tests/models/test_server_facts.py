import pytest

from plait.models._server_facts import LlamaProps, llama_facts, read_metrics, read_slots

NEW_PROPS = {
    "default_generation_settings": {
        "n_ctx": 4096,
        "params": {"speculative.types": "none", "timings_per_token": False},
    },
    "total_slots": 4,
    "model_path": "/models/m.gguf",
    "modalities": {"vision": True, "audio": False},
    "build_info": "b9744-00dc8057a",
    "chat_template": "{{ messages }}",
    "is_sleeping": False,
}
OLD_PROPS = {
    "default_generation_settings": {"id": 0, "n_ctx": 2048, "speculative": True, "params": {}},
    "total_slots": 1,
    "chat_template": "{{ messages }}",
}
METRICS = """# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="16",cache_dtype="auto",enable_prefix_caching="True",engine="0"} 1.0
# HELP vllm:spec_decode_num_drafts_total Number of spec decoding drafts.
"""
DRAFTING = 'vllm:spec_decode_num_drafts_total{engine="0",model_name="m"} 0.0\n'


def facts_of(props, slots=None, **known):
    props = LlamaProps.model_validate(props)
    return llama_facts(props, slots, **{"grammar_kind": "gbnf", "context_length": None} | known)


def test_a_new_llama_server_tells_what_it_is() -> None:
    slots = read_slots('[{"id": 0, "is_processing": false}, {"id": 1, "is_processing": true}]')
    facts = facts_of(NEW_PROPS, slots)
    assert (facts.server, facts.grammar_kind, facts.context_length) == ("llama-server", "gbnf", 4096)
    assert (facts.version, facts.model_path) == ("b9744-00dc8057a", "/models/m.gguf")
    assert (facts.n_slots, facts.tells_idle_slots, facts.modalities) == (4, True, ("vision",))
    assert facts.chat_template == "{{ messages }}"
    assert "messages" not in repr(facts)


def test_an_old_llama_server_tells_less() -> None:
    facts = facts_of(OLD_PROPS)
    assert (facts.context_length, facts.n_slots, facts.tells_idle_slots) == (2048, 1, False)
    assert (facts.version, facts.drafts, facts.draft_types) == (None, True, ())


def test_what_was_told_to_plait_counts_more() -> None:
    assert facts_of(NEW_PROPS, context_length=100).context_length == 100


def test_a_context_of_nothing_is_not_known() -> None:
    assert facts_of({"default_generation_settings": {"n_ctx": 0}}).context_length is None


@pytest.mark.parametrize(
    ("params", "slots", "drafts", "types"),
    [
        # The defaults of requests say "none" in servers that draft, so that they prove nothing.
        ({"speculative.types": "none"}, None, None, ()),
        ({"speculative.types": "none"}, [True, False], True, ()),
        ({"speculative.types": "none"}, [False], False, ()),
        ({"speculative.types": "none,draft-mtp"}, None, True, ("draft-mtp",)),
        ({"speculative.type": "ngram_simple"}, None, True, ("ngram_simple",)),
        ({"speculative.n_max": 16}, None, None, ()),
        ({"speculative.types": ["ngram-simple"]}, None, None, ()),
        ("none", None, None, ()),
    ],
)
def test_whether_a_llama_server_drafts_is_told_in_several_ways(params, slots, drafts, types) -> None:
    if slots is not None:
        told = ", ".join(f'{{"id": 0, "is_processing": false, "speculative": {s}}}' for s in slots)
        slots = read_slots(f"[{told.lower()}]")
    facts = facts_of({"default_generation_settings": {"params": params}}, slots)
    assert (facts.drafts, facts.draft_types) == (drafts, types)


@pytest.mark.parametrize("wrong", [None, True, -1, 1.5, "7", [], {}, {"vision": 1}])
def test_answers_of_wrong_types_tell_nothing(wrong) -> None:
    settings = {"n_ctx": wrong, "speculative": None if wrong is True else wrong, "params": wrong}
    names = ("total_slots", "build_info", "model_path", "chat_template", "modalities", "role")
    props = {name: None if isinstance(wrong, str) else wrong for name in names}
    facts = facts_of(props | {"default_generation_settings": settings})
    assert facts == facts_of({})
    assert facts_of({"default_generation_settings": wrong}) == facts_of({})


@pytest.mark.parametrize(
    "body",
    [
        None,
        "",
        "null",
        "<html>",
        "{}",
        '{"error": {"code": 501}}',
        '[{"id": 0, "state": 0}]',
        '[{"id": "0", "is_processing": false}]',
        '[{"id": 0, "is_processing": "no"}]',
        '[{"id": 0, "is_processing": false}, 7]',
    ],
)
def test_slots_are_told_whole_or_not_at_all(body) -> None:
    assert read_slots(body) is None


def test_metrics_tell_what_vllm_was_started_with() -> None:
    assert read_metrics(METRICS).caches_prefixes is True
    assert read_metrics(METRICS.replace('"True"', '"False"')).caches_prefixes is False


def test_only_a_vllm_that_drafts_counts_drafts() -> None:
    assert read_metrics(METRICS).drafts is False
    assert read_metrics(METRICS + DRAFTING).drafts is True


@pytest.mark.parametrize("text", [None, "", "<html>", "llamacpp:spec_decode_num_drafts_total 0"])
def test_other_texts_tell_nothing_of_vllm(text) -> None:
    metrics = read_metrics(text)
    assert (metrics.caches_prefixes, metrics.drafts) == (None, None)


def test_metrics_without_the_cache_leave_it_open() -> None:
    metrics = read_metrics("vllm:num_requests_running 0\n")
    assert (metrics.caches_prefixes, metrics.drafts) == (None, False)
