"""``plait models quantize``."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from plait.apps import _model_quantize, cli
from plait.models import read_gguf
from plait.models._importance import ImportanceMatrix
from plait.models._quantize import Quantized

TEXT = "A plan is a graph of calls: what is independent runs at once, and the rest waits for its inputs. " * 4


def quantize(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, ["models", "quantize", *map(str, arguments)])


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


def test_a_model_is_quantized_by_what_a_text_shows(
    smollm2: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, matrix = tmp_path / "target.gguf", tmp_path / "matrix.gguf"
    options = ["--text", text, "--chunk-length", 16, "--max-chunks", 2, "--save-importance", matrix]
    result = quantize(smollm2, target, "--type", "q4_0", "--requantize", *options)
    assert result.exit_code == 0, result.stderr
    facts = dict(line.split("  ", 1) for line in result.stdout.splitlines())
    facts = {label: value.strip() for label, value in facts.items()}
    assert facts["file"] == str(target)
    assert facts["type"] == "Q4_0, before Q4_1"
    assert facts["size"] == "92 MB, before 98 MB"
    assert facts["importance"] == "210 of 211 quantized tensors, from 2 chunks of 16 tokens"
    assert "s for the importance matrix" in facts["time"]
    assert read_gguf(target).quantization == "Q4_0"

    # The matrix that was kept serves again, and the document has the numbers.
    given: list[ImportanceMatrix] = []

    def repeated(*_: object, importance: ImportanceMatrix, **__: object) -> Quantized:
        given.append(importance)
        return Quantized(read_gguf(smollm2), read_gguf(target), "Q4_0", 1.0, 210, 211)

    monkeypatch.setattr(_model_quantize, "quantize_file", repeated)
    options = ["--type", "Q4_0", "--requantize", "--importance", matrix, "--json"]
    document = json.loads(quantize(smollm2, tmp_path / "again.gguf", *options).stdout)
    assert len(given[0].tensors) == 210
    assert document["size_bytes"] == target.stat().st_size
    assert document["source_size_bytes"] == smollm2.stat().st_size
    assert 5 < document["bits_per_weight"] < document["source_bits_per_weight"] < 6
    assert document["importance"]["share"] == round(210 / 211, 4)
    assert (document["importance"]["chunks"], document["importance"]["seconds"]) == (2, None)


def test_a_model_of_the_catalog_is_quantized_by_its_name(
    smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAIT_MODELS", str(smollm2.parent))
    target = tmp_path / "target.gguf"
    result = quantize("smollm2-135m", target, "--type", "Q8_0", "--requantize", "--json")
    document = json.loads(result.stdout)
    assert (document["source"], document["importance"]) == (str(smollm2), None)
    assert document["tensor_types"].keys() == {"Q8_0", "F32"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--type", "Q9"], "no quantization 'Q9'"),
        ([], "quantized already (Q4_1)"),
        (["--requantize", "--text", "{text}", "--importance", "{text}"], "leave one out"),
        (["--requantize", "--max-chunks", "2"], "--max-chunks needs a text"),
        (["--requantize", "--importance", "{text}", "--chunk-length", "64"], "--chunk-length needs a text"),
        (["--requantize", "--text", "{folder}/none.txt"], "cannot read the text"),
        (["--requantize", "--text", "{folder}"], "cannot read the text"),
        (["--requantize", "--text", "{latin}"], "is no UTF-8 text (at byte 3)"),
        (["--requantize", "--text", "{empty}"], "is empty"),
        (["--requantize", "--text", "{short}"], "has 2 tokens, and one chunk takes 512"),
        (["--requantize", "--text", "{text}", "--chunk-length", "4"], "chunk_length is 4"),
        (["--requantize", "--text", "{text}", "--save-importance", "{text}"], "text.txt exists"),
        (["--requantize", "--text", "{text}", "--save-importance", "{folder}/no/m"], "does not exist"),
        (["--requantize", "--text", "{text}", "--save-importance", "{folder}/target.gguf"], "a model's file"),
        (["--requantize", "--type", "Q8_0", "--text", "{text}"], "Q8_0 makes no use"),
    ],
)
def test_what_the_user_gives_wrong_is_named_in_one_sentence(
    smollm2: Path, text: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    places = {"text": text, "folder": tmp_path}
    for name, content in {"latin": b"caf\xe9", "empty": b"", "short": b"two words"}.items():
        places[name] = tmp_path / f"{name}.txt"
        places[name].write_bytes(content)
    target = tmp_path / "target.gguf"
    result = quantize(smollm2, target, *(option.format(**places) for option in options))
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert not target.exists()


def test_the_model_itself_is_never_where_the_matrix_is_kept(
    smollm2: Path, text: Path, tmp_path: Path
) -> None:
    before = smollm2.stat()
    options = ["--requantize", "--force", "--text", text, "--save-importance", smollm2]
    result = quantize(smollm2, tmp_path / "target.gguf", *options)
    assert result.exit_code == 2
    assert "a model's file" in result.stderr
    assert smollm2.stat() == before


def test_a_file_that_is_no_matrix_is_named(smollm2: Path, text: Path, tmp_path: Path) -> None:
    for matrix, said in ((text, "no GGUF file"), (smollm2, "no importance matrix")):
        result = quantize(smollm2, tmp_path / "t.gguf", "--requantize", "--importance", matrix, "--json")
        assert result.exit_code == 1
        assert json.loads(result.stdout)["error"]["type"] == "ModelFileError"
        assert said in result.stderr


def test_an_interruption_says_so_and_leaves_nothing(
    smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_model_quantize, "quantize_file", interrupt)
    result = quantize(smollm2, tmp_path / "target.gguf", "--requantize", "--json")
    assert result.exit_code == 130
    assert "interrupted" in json.loads(result.stdout)["error"]["message"]
    assert list(tmp_path.iterdir()) == []
