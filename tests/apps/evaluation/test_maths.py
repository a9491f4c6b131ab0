import pytest

from plait.apps.evaluation._maths import Maths
from plait.errors import ModelServerError, ToolArgumentError, ToolCallError
from plait.models import Reply, ScriptedModel

pytestmark = pytest.mark.anyio

VARGA = "Mount Varga stands 4,210 m (13,812 ft) above the sea."


async def test_an_expression_is_calculated_without_asking_the_model() -> None:
    model = ScriptedModel([])
    assert await Maths(model).tool().ainvoke({"problem": "max(3,789, 4063.5)"}) == 4063.5
    assert model.requests == []


async def test_words_and_context_become_one_expression_that_is_calculated() -> None:
    model = ScriptedModel(["4210 * 0.9"])
    tool = Maths(model).tool()
    assert await tool.ainvoke({"problem": "height in m if 10% lower", "context": [VARGA]}) == 3789
    asked = model.requests[0].messages[-1].content
    assert asked == f"Context: {VARGA}\nQuestion: height in m if 10% lower\nExpression:"


async def test_several_contexts_are_numbered() -> None:
    model = ScriptedModel(["abs(4210 - 3870)"])
    assert await Maths(model).solve("difference in m", [VARGA, "Mount Selin: 3,870 metres"]) == 340
    assert "Context 1: Mount Varga" in model.requests[0].messages[-1].content
    assert "Context 2: Mount Selin" in model.requests[0].messages[-1].content


@pytest.mark.parametrize("kind", ["lark", "gbnf"])
async def test_a_model_that_enforces_grammars_is_given_one_of_arithmetic(kind: str) -> None:
    model = ScriptedModel(["1 + 1"], grammar_kind=kind)  # type: ignore[arg-type]
    assert await Maths(model).solve("one and one") == 2
    grammar = model.requests[0].grammar
    assert grammar is not None
    assert grammar.lark is not None
    assert grammar.gbnf is not None
    assert model.requests[0].max_tokens == 128


def test_the_grammar_is_valid_in_both_of_its_forms() -> None:
    llguidance = pytest.importorskip("llguidance")
    llama_grammar = pytest.importorskip("llama_cpp.llama_grammar")
    from plait.apps.evaluation._maths import _GRAMMAR

    assert llguidance.LLMatcher.validate_grammar(_GRAMMAR.lark) == ""
    assert llama_grammar.LlamaGrammar.from_string(_GRAMMAR.gbnf, verbose=False)


async def test_a_model_without_grammars_is_stopped_at_the_end_of_the_line() -> None:
    model = ScriptedModel(["Expression: 2 * 3\nThat is six."], grammar_kind=None)
    assert await Maths(model).solve("twice three") == 6
    assert model.requests[0].grammar is None


async def test_without_a_model_words_are_refused_and_there_is_no_context() -> None:
    tool = Maths().tool()
    assert tool.signature == "math(problem: str) -> float"
    assert await tool.ainvoke({"problem": "2 * 3"}) == 6
    with pytest.raises(ToolCallError, match="'twice' is no part of an expression"):
        await tool.ainvoke({"problem": "twice three"})
    with pytest.raises(ToolArgumentError):
        await tool.ainvoke({"problem": "2 * 3", "context": [VARGA]})


async def test_a_context_that_does_not_say_is_an_error_that_says_so() -> None:
    with pytest.raises(ToolCallError, match="no number that answers 'depth in m'"):
        await Maths(ScriptedModel(["unknown"])).solve("depth in m", [VARGA])


async def test_an_expression_that_never_ends_is_an_error() -> None:
    model = ScriptedModel(["1 + " * 200])
    with pytest.raises(ToolCallError, match="no end of an expression"):
        await Maths(model).solve("add up everything")


async def test_what_the_model_writes_beside_arithmetic_is_never_run() -> None:
    model = ScriptedModel(["__import__('os').getcwd()"])
    with pytest.raises(ToolCallError, match="no part of an expression"):
        await Maths(model).solve("where am I")


async def test_an_impossible_sum_is_not_passed_on_to_the_model() -> None:
    model = ScriptedModel([])
    with pytest.raises(ToolCallError, match="divides by zero"):
        await Maths(model).solve("1 / 0")
    assert model.requests == []


async def test_a_model_that_fails_fails_the_call() -> None:
    model = ScriptedModel([Reply(error=ModelServerError("gone"))])
    with pytest.raises(ToolCallError, match="gone"):
        await Maths(model).tool().ainvoke({"problem": "one and one"})


def test_the_tool_is_known_to_change_nothing() -> None:
    annotations = Maths().tool().annotations
    assert (annotations.read_only, annotations.idempotent, annotations.open_world) == (True, True, False)
