"""Grammars compiled once for one vocabulary."""

import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from llguidance import LLTokenizer
from llguidance._tokenizer import TokenizerWrapper

from plait.errors import GrammarError, MissingExtraError
from plait.models import _grammars
from plait.models._engine import Engine
from plait.models._grammars import Grammars

LETTERS = b"ab!\0"
AB = 'start: /[ab]{2}/ "!"'


class _Pieces:
    eos_token_id = 3
    bos_token_id = None
    tokens = tuple(bytes([b]) for b in LETTERS)
    special_token_ids = (3,)

    def __call__(self, text: bytes) -> list[int]:
        return [LETTERS.index(b) for b in text if b in LETTERS]


class Counted(Grammars):
    """Grammars over four letters, which note what is compiled."""

    def __init__(self) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self.compiled: list[str] = []
        self.n_read = 0

    def _compile(self, lark: str) -> Any:
        self.compiled.append(lark)
        return super()._compile(lark)

    def _read_vocabulary(self) -> Any:
        self.n_read += 1
        return LLTokenizer(TokenizerWrapper(_Pieces()))


def allowed(matcher: Any) -> list[int]:
    return [token for token in range(4) if matcher.validate_tokens([token])]


def test_a_grammar_is_compiled_once_and_each_matcher_begins_at_the_beginning() -> None:
    grammars = Counted()
    first = grammars.matcher(AB)
    assert first.consume_tokens([0, 1])
    second = grammars.matcher(AB)
    assert (allowed(first), allowed(second)) == ([2], [0, 1])
    assert second.consume_tokens([1, 1, 2])
    assert second.is_stopped()
    assert not first.is_stopped()
    assert grammars.compiled == [AB]


def test_the_vocabulary_is_read_when_the_first_grammar_comes() -> None:
    grammars = Counted()
    assert not grammars.is_ready
    grammars.matcher(AB)
    assert grammars.is_ready
    grammars.matcher('start: "a"')
    assert grammars.n_read == 1


def test_the_grammars_used_last_are_kept() -> None:
    grammars = Counted()
    larks = [f'start: /[ab]{{{n}}}/ "!"' for n in range(1, _grammars._N_KEPT + 2)]
    for lark in larks[:-1]:
        grammars.matcher(lark)
    grammars.matcher(larks[0])
    grammars.matcher(larks[-1])  # the second one makes room
    grammars.compiled.clear()
    grammars.matcher(larks[0])
    grammars.matcher(larks[-1])
    assert grammars.compiled == []
    grammars.matcher(larks[1])
    assert grammars.compiled == [larks[1]]


@pytest.mark.parametrize(
    ("lark", "why"),
    [
        ("start: nowhere", "nowhere"),
        ("this is no grammar", "Expected|expected|unexpected|Unexpected|parse"),
        ('begin: "a"', "start"),
        ("", "Empty grammar"),
        ("start: /(/", "regex|paren|group"),
    ],
)
def test_a_grammar_that_is_refused_says_why_and_is_not_kept(lark: str, why: str) -> None:
    grammars = Counted()
    for _ in range(2):
        with pytest.raises(GrammarError, match=f"(?s)llguidance refuses the grammar: .*({why})"):
            grammars.matcher(lark)
    assert grammars.compiled == [lark] * 2
    assert allowed(grammars.matcher(AB)) == [0, 1], "it goes on with the others"


def test_what_is_prepared_is_the_matcher_or_the_error() -> None:
    grammars = Counted()
    right: Future[Any] = Future()
    wrong: Future[Any] = Future()
    grammars.prepare(AB, right)
    grammars.prepare("start: nowhere", wrong)
    assert allowed(right.result(0)) == [0, 1]
    with pytest.raises(GrammarError, match="nowhere"):
        wrong.result(0)


def test_threads_that_want_the_same_grammar_compile_it_once() -> None:
    grammars = Counted()
    barrier = threading.Barrier(6)

    def want(_: int) -> list[int]:
        barrier.wait(30)
        return allowed(grammars.matcher(AB))

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(want, range(6))) == [[0, 1]] * 6
    assert grammars.compiled == [AB]


def test_without_llguidance_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance.llamacpp", None)
    grammars = Grammars(None)  # type: ignore[arg-type]
    future: Future[Any] = Future()
    grammars.prepare(AB, future)
    with pytest.raises(MissingExtraError, match="local"):
        future.result(0)
    assert not grammars.is_ready


def test_a_real_vocabulary_gives_the_tokens_of_the_text(smollm2: Path) -> None:
    engine = Engine(smollm2, context_length=256, n_threads=1)
    grammars = Grammars(engine.vocabulary)
    matcher = grammars.matcher('start: "{\\"city\\": \\"" ("Oslo" | "Bergen") "\\"}"')
    vocabulary = engine.vocabulary
    forced = matcher.compute_ff_tokens()
    text = b"".join(vocabulary.piece(token) for token in forced)
    assert b'{"city": "'.startswith(text)
    assert len(text) > 5
    assert matcher.consume_tokens(forced)
    rest = vocabulary.tokenize('{"city": "Oslo"}')[len(forced) :]
    assert matcher.validate_tokens(rest) == len(rest)
    assert matcher.validate_tokens(vocabulary.tokenize("Paris")) == 0
    engine.close()
