"""What every encoder keeps to, and what each does besides."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from plait.errors import ConfigurationError, MissingExtraError, ModelFileError, UnknownModelError
from plait.models import DEFAULT_ENCODER
from plait.retrieval import (
    BertEncoder,
    Encoder,
    HashingEncoder,
    SentenceTransformerEncoder,
    Vectors,
    load_encoder,
)
from plait.retrieval._bert import Bert, BertConfig

TEXTS = ["Email the summary of report.pdf to Sid", "", "é", "東京の天気を調べて", "weather " * 400]
# python3 -m venv st && st/bin/pip install torch==2.13.0 sentence-transformers==6.2.0; the folder is the one
# that `plait models pull all-minilm-l6-v2` fills, with modules.json, 1_Pooling and sentence_bert_config.json
# of the same package beside the files:
#   SentenceTransformer(folder, device="cpu").encode(TEXTS, normalize_embeddings=True)[:, :6]
REFERENCE = [
    [0.017277, 0.118243, -0.09039, 0.039525, 0.028428, 0.043953],
    [-0.118838, 0.048299, -0.002548, -0.011011, 0.051951, 0.010292],
    [-0.015289, 0.052264, 0.041219, 0.059396, -0.036041, -0.0095],
    [0.0732, 0.156512, 0.09235, -0.027498, -0.068293, 0.058426],
    [-0.020692, 0.02702, 0.020026, 0.067858, -0.015461, -0.02703],
]
REFERENCE_PRODUCTS = [0.043719, 0.070915, 0.070913, 0.110981]  # of the first vector with the others


class FakeTensor:
    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values, np.float32)

    def float(self) -> FakeTensor:
        return self

    def cpu(self) -> FakeTensor:
        return self

    def numpy(self) -> Vectors:
        return self.values


class FakeSentenceTransformer:
    """As much of sentence-transformers as the adapter uses."""

    max_seq_length = 128

    def __init__(self, name: str = "fake", scale: float = 3.0, **options: Any) -> None:
        self.name, self.scale, self.options = name, scale, options

    def state_dict(self) -> dict[str, FakeTensor]:
        return {"weight": FakeTensor([self.scale])}

    def encode(self, texts: Sequence[str], **options: Any) -> Vectors:
        assert options == {"convert_to_numpy": True, "show_progress_bar": False}
        return self.scale * HashingEncoder(32).encode(texts)


@pytest.fixture
def sentence_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("sentence_transformers")
    module.SentenceTransformer = FakeSentenceTransformer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)


@pytest.fixture(params=["minilm", "hashing", "sentence-transformers"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    if request.param == "minilm":
        return request.getfixturevalue("minilm")  # type: ignore[no-any-return]
    if request.param == "hashing":
        return HashingEncoder()
    request.getfixturevalue("sentence_transformers")
    return SentenceTransformerEncoder("any")


def test_vectors_are_float32_rows_of_length_one(encoder: Encoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert isinstance(encoder, Encoder)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), encoder.dimension)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_no_texts_have_no_vectors(encoder: Encoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.dimension)


def test_a_text_has_the_same_vector_in_any_company(encoder: Encoder) -> None:
    together = encoder.encode(TEXTS)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    assert np.allclose(together, alone, atol=1e-5)


def test_a_text_is_most_like_itself_and_then_like_its_words(encoder: Encoder) -> None:
    text, alike, other = encoder.encode(["send an email", "send a letter or an email", "weather in Porto"])
    assert text @ text > text @ alike > text @ other


def test_any_text_has_a_vector(encoder: Encoder) -> None:
    vectors = encoder.encode(["\ud83d", "\0", " ", "x" * 100_000, "a b " * 25_000, "好" * 3000])
    assert np.isfinite(vectors).all()


def test_a_fingerprint_stays_the_same_and_has_one_line(encoder: Encoder) -> None:
    assert encoder.fingerprint == encoder.fingerprint
    assert len(encoder.fingerprint.splitlines()) == 1


def test_threads_get_the_vectors_that_each_would_get_alone(encoder: Encoder) -> None:
    expected = {text: encoder.encode([text]) for text in TEXTS}
    found: dict[str, Vectors] = {}
    threads = [
        threading.Thread(target=lambda text=text: found.update({text: encoder.encode([text])}))
        for text in TEXTS
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(np.allclose(found[text], expected[text], atol=1e-6) for text in TEXTS)


# MiniLM


def test_minilm_gives_the_vectors_of_the_reference_implementation(minilm: BertEncoder) -> None:
    vectors = minilm.encode(TEXTS)
    assert minilm.dimension == 384
    assert np.allclose(vectors[:, :6], REFERENCE, atol=2e-6)
    assert np.allclose(vectors[1:] @ vectors[0], REFERENCE_PRODUCTS, atol=2e-6)


def test_what_comes_after_the_last_token_that_is_read_changes_nothing(minilm: BertEncoder) -> None:
    short = BertEncoder(minilm.folder, max_tokens=8)
    words = "one two three four five six seven eight"
    assert np.array_equal(short.encode([words]), short.encode(["one two three four five six"]))
    assert short.fingerprint != minilm.fingerprint


def test_the_beginning_of_a_long_text_is_read_though_it_is_cut_before_it_becomes_tokens(
    minilm: BertEncoder,
) -> None:
    beginning = " ".join(f"{word}!" for word in ["weather"] * 200)
    spaced = " " * 100_000
    assert np.array_equal(minilm.encode([beginning]), minilm.encode([f"{beginning} {'later ' * 20_000}"]))
    assert np.array_equal(minilm.encode(["cold rain"]), minilm.encode([f"cold {spaced} rain"]))


def test_nothing_is_loaded_for_a_fingerprint(minilm: BertEncoder) -> None:
    encoder = BertEncoder(minilm.folder)
    assert encoder.fingerprint == minilm.fingerprint
    assert encoder._loaded is None


def test_the_default_encoder_is_found_by_its_name_and_by_its_folder(minilm: BertEncoder) -> None:
    by_name = load_encoder(DEFAULT_ENCODER, download=False)
    assert by_name.fingerprint == load_encoder(minilm.folder).fingerprint == minilm.fingerprint


def test_an_unknown_encoder_is_answered_with_the_choices() -> None:
    with pytest.raises(UnknownModelError, match="the catalog has: all-minilm-l6-v2"):
        load_encoder("no-such-encoder")


def test_an_encoder_that_may_not_be_fetched_is_told_by_the_file_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAIT_MODELS", str(tmp_path))
    with pytest.raises(ModelFileError, match=r"model\.safetensors is not there"):
        load_encoder(download=False)


def test_too_few_tokens_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="give 3 or more"):
        BertEncoder(tmp_path, max_tokens=2)


@pytest.fixture
def damaged(minilm: BertEncoder, tmp_path: Path) -> Callable[[str, bytes], BertEncoder]:
    """``damaged(name, data)``: the encoder with other bytes in one file."""

    def make(name: str, data: bytes) -> BertEncoder:
        for file in ("model.safetensors", "config.json", "tokenizer.json"):
            (tmp_path / file).symlink_to(minilm.folder / file)
        (tmp_path / name).unlink()
        (tmp_path / name).write_bytes(data)
        return BertEncoder(tmp_path)

    return make


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("model.safetensors", b"no weights", "cannot be read"),
        ("model.safetensors", b"\x02\0\0\0\0\0\0\0{}", "has no weight"),
        ("config.json", b"{", "is no configuration"),
        ("config.json", b"[]", "is no configuration"),
        ("config.json", b'{"model_type": "bert"}', "is no configuration"),
        ("tokenizer.json", b"{}", "is no tokenizer"),
    ],
)
def test_a_damaged_file_is_named(
    damaged: Callable[[str, bytes], BertEncoder], name: str, data: bytes, said: str
) -> None:
    with pytest.raises(ModelFileError, match=said):
        damaged(name, data).encode(["text"])


def test_models_of_other_kinds_and_shapes_are_refused(
    damaged: Callable[[str, bytes], BertEncoder], minilm: BertEncoder
) -> None:
    config = json.loads((minilm.folder / "config.json").read_text())
    encoder = damaged("config.json", json.dumps({**config, "hidden_act": "relu"}).encode())
    with pytest.raises(ModelFileError, match="with relu"):
        encoder.encode(["text"])
    (encoder.folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 4}))
    with pytest.raises(ModelFileError, match=r"does not go with config\.json"):
        encoder.encode(["text"])


@pytest.fixture
def tiny() -> tuple[BertConfig, dict[str, Vectors]]:
    """A model that reads six tokens, without a layer."""
    rng = np.random.default_rng(5)
    shapes = {"word_embeddings": (9, 4), "position_embeddings": (6, 4), "token_type_embeddings": (2, 4)}
    tensors = {f"embeddings.{k}.weight": rng.normal(size=v).astype(np.float32) for k, v in shapes.items()}
    tensors |= {f"embeddings.LayerNorm.{k}": np.ones(4, np.float32) for k in ("weight", "bias")}
    return BertConfig(n_heads=2, n_layers=0, epsilon=1e-12, max_positions=6), tensors


def test_weights_whose_names_have_a_prefix_are_found(tiny: tuple[BertConfig, dict[str, Vectors]]) -> None:
    config, tensors = tiny
    plain = Bert(config, tensors)
    prefixed = Bert(config, {f"bert.{name}": tensor for name, tensor in tensors.items()})
    assert np.array_equal(plain.mean_vectors([[1, 2], [3]]), prefixed.mean_vectors([[1, 2], [3]]))


def test_a_text_of_nearly_as_many_tokens_as_the_model_can_read_is_read(
    tiny: tuple[BertConfig, dict[str, Vectors]],
) -> None:
    model, text = Bert(*tiny), [1, 2, 3, 4, 5]
    assert np.allclose(model.mean_vectors([text]), model.mean_vectors([text, [3]])[:1], atol=1e-6)


# Others


def test_hashed_words_that_cancel_each_other_out_have_a_vector_too() -> None:
    assert np.abs(HashingEncoder(1).encode(["a b c d e f", ""])).tolist() == [[1], [1]]


def test_a_dimension_must_be_positive() -> None:
    with pytest.raises(ConfigurationError, match="give 1 or more"):
        HashingEncoder(0)


def test_other_weights_have_another_fingerprint(sentence_transformers: None) -> None:
    one, two = (SentenceTransformerEncoder(FakeSentenceTransformer(scale=scale)) for scale in (1.0, 2.0))
    assert one.fingerprint != two.fingerprint


def test_options_are_handed_on_to_the_model(sentence_transformers: None) -> None:
    encoder = SentenceTransformerEncoder("name", device="cpu")
    assert (encoder._model.name, encoder._model.options) == ("name", {"device": "cpu"})


@pytest.mark.parametrize(
    ("module", "make", "extra"),
    [
        ("sentence_transformers", lambda folder: SentenceTransformerEncoder("x"), "sentence-transformers"),
        ("safetensors", lambda folder: BertEncoder(folder).encode(["x"]), "retrieval"),
        ("tokenizers", lambda folder: BertEncoder(folder).encode(["x"]), "retrieval"),
    ],
)
def test_a_library_that_is_missing_is_named_with_its_extra(
    minilm: BertEncoder,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    make: Callable[[Path], Any],
    extra: str,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError) as caught:
        make(minilm.folder)
    assert caught.value.extra == extra
