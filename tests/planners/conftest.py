from collections.abc import Callable
from pathlib import Path

import llama_cpp
import pytest
from llguidance import LLMatcher
from llguidance.llamacpp import lltokenizer_from_vocab


@pytest.fixture(scope="session")
def accepted_by(smollm2: Path) -> Callable[[str, str], str]:
    """What of a plan a grammar, llguidance's Lark, accepts: all of it but a mark where it is refused."""
    options = llama_cpp.llama_model_default_params()
    options.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(str(smollm2).encode(), options)
    tokenizer = lltokenizer_from_vocab(llama_cpp.llama_model_get_vocab(model))

    def accepted(lark: str, plan: str) -> str:
        matcher = LLMatcher(tokenizer, LLMatcher.grammar_from_lark(lark), log_level=0)
        assert not matcher.is_error(), matcher.get_error()
        tokens = list(tokenizer.tokenize_str(plan))
        for i, token in enumerate(tokens):
            if matcher.try_consume_tokens([token]) != 1:
                return tokenizer.decode_str(tokens[:i]) + "⛔"
        return plan if matcher.is_accepting() else f"{plan}…"

    return accepted
