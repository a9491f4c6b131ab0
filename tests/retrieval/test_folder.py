"""The index on disk: what is written, read, changed, damaged and built anew."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from retrieval_samples import TOOLS, UNTRAINED, USAGES, CountingEncoder, make_tool

from plait.errors import ConfigurationError, ToolIndexError, UnknownToolError
from plait.retrieval import (
    HashingEncoder,
    Tool2Vec,
    Usage,
    build_index,
    load_index,
    read_usages,
    save_index,
    update_index,
)
from plait.retrieval import _folder as folder_module
from plait.retrieval import _nearest as nearest

ENCODER = HashingEncoder()
PARTS = ("tools", "usages", "vectors", "words")


@pytest.fixture
def index() -> Tool2Vec:
    return Tool2Vec.fit(TOOLS, USAGES, ENCODER)


@pytest.fixture
def folder(index: Tool2Vec, tmp_path: Path) -> Path:
    save_index(index, tmp_path / "index")
    return tmp_path / "index"


def part(folder: Path, name: str) -> Path:
    (found,) = folder.glob(f"{name}-*")
    return found


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def change_manifest(folder: Path, **fields: object) -> None:
    """Change the manifest and its checksum, as another version of plait might."""
    manifest = json.loads((folder / "index.json").read_text()) | fields
    del manifest["checksum"]
    from plait.retrieval._manifest import _checksum

    (folder / "index.json").write_text(json.dumps({**manifest, "checksum": _checksum(manifest)}))


def assert_same(one: Tool2Vec, two: Tool2Vec) -> None:
    assert one.entries == two.entries
    assert np.array_equal(one.parts.vectors, two.parts.vectors)
    for by in UNTRAINED:
        assert one.search("rain in Porto", 4, by) == two.search("rain in Porto", 4, by)


# Saving and loading


def test_what_is_loaded_is_what_was_saved(index: Tool2Vec, folder: Path) -> None:
    assert_same(load_index(folder, ENCODER), index)
    assert files(folder) >= {"index.json", ".lock"}
    assert len(files(folder)) == 6


def test_an_index_of_nothing_is_saved_and_loaded(tmp_path: Path) -> None:
    save_index(Tool2Vec.fit([], (), ENCODER), tmp_path)
    assert len(load_index(tmp_path, ENCODER)) == 0
    assert load_index(tmp_path, ENCODER).search("x") == []


def test_texts_of_all_kinds_survive(tmp_path: Path) -> None:
    usage = Usage('one\ntwo\u2028three "four" \ud83d 天気', ("add",))
    index = Tool2Vec.fit([make_tool("add", "Line\r\nbreaks\x00")], [usage], ENCODER)
    save_index(index, tmp_path)
    assert load_index(tmp_path).entries == index.entries


def test_loading_needs_no_encoder_and_neither_does_searching_by_words(folder: Path) -> None:
    code = (
        "import sys; from plait.retrieval import load_index; index = load_index(sys.argv[1]);"
        "found = index.search('umbrella', 1, 'bm25');"
        "heavy = ('tokenizers', 'safetensors', 'torch', 'faiss');"
        "print(found[0].name, [name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "get_weather []"


def test_saving_the_same_again_changes_no_file_and_another_leaves_no_old_one(
    index: Tool2Vec, folder: Path
) -> None:
    before = {name: (folder / name).read_bytes() for name in files(folder)}
    save_index(load_index(folder, ENCODER), folder)
    assert {name: (folder / name).read_bytes() for name in files(folder)} == before
    save_index(index.removing(["add"]), folder)
    assert len(files(folder)) == len(before)
    assert part(folder, "tools").name not in before


def test_what_an_interrupted_change_left_is_cleared_away(index: Tool2Vec, folder: Path) -> None:
    for name in ("tools-0123456789abcdef.jsonl", "index.json.new", "vectors-0123456789abcdef.npy.new"):
        (folder / name).write_bytes(b"half")
    (folder / "notes.txt").write_text("the user's own")
    save_index(index.removing(["add"]), folder)
    assert len(files(folder)) == 7
    assert "notes.txt" in files(folder)


def test_a_change_that_fails_leaves_the_old_index(
    index: Tool2Vec, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = folder_module._write

    def write(path: Path, content: bytes) -> None:
        if path.name == "index.json":
            raise OSError(28, "No space left on device")
        real(path, content)

    monkeypatch.setattr(folder_module, "_write", write)
    with pytest.raises(ConfigurationError, match=r"cannot be written .* No space left"):
        save_index(index.removing(["add"]), folder)
    assert_same(load_index(folder, ENCODER), index)


def test_a_folder_that_cannot_be_made_is_told(index: Tool2Vec, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="choose another folder"):
        save_index(index, tmp_path / "file" / "index")


def test_graphs_are_saved_and_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "HNSW_ABOVE", 20)
    many = [make_tool(f"tool_{i}", f"Does thing {i}.") for i in range(50)]
    index = Tool2Vec.fit(many, (), ENCODER)
    save_index(index, tmp_path)
    monkeypatch.setattr(nearest.HNSW, "build", None)
    loaded = load_index(tmp_path, ENCODER)
    assert loaded.parts.text_graph is not None
    assert loaded.parts.centroid_graph is not None
    assert loaded.search("thing 7") == index.search("thing 7")
    monkeypatch.setattr(folder_module, "has_faiss", lambda: False)
    assert load_index(tmp_path, ENCODER).parts.text_graph is None
    monkeypatch.setattr(folder_module, "has_faiss", lambda: True)
    expected = index.search("thing 7", 1)
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert load_index(tmp_path, ENCODER).search("thing 7", 1) == expected


def test_a_graph_whose_file_goes_before_it_is_needed_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest, "HNSW_ABOVE", 20)
    index = Tool2Vec.fit([make_tool(f"tool_{i}", f"Does thing {i}.") for i in range(50)], (), ENCODER)
    save_index(index, tmp_path / "a")
    loaded = load_index(tmp_path / "a", ENCODER)
    flip(part(tmp_path / "a", "text_graph"))
    part(tmp_path / "a", "centroid_graph").unlink()
    assert loaded.search("thing 7", 1) == index.search("thing 7", 1)
    save_index(loaded, tmp_path / "b")
    assert not list((tmp_path / "b").glob("*graph*"))
    assert load_index(tmp_path / "b", ENCODER).search("thing 7", 1) == index.search("thing 7", 1)


# Damage


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "cut short": cut_short,
    "a bit flipped": flip,
    "empty": lambda path: path.write_bytes(b""),
    "gone": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", PARTS)
def test_damage_is_found_and_the_index_is_built_anew_with_its_usages(
    index: Tool2Vec, folder: Path, name: str, damage: str
) -> None:
    DAMAGES[damage](part(folder, name))
    with pytest.raises(ToolIndexError, match=r"is damaged .* build it anew"):
        load_index(folder, ENCODER)
    built = build_index(folder, TOOLS, (), ENCODER)
    assert built.notes[0].startswith("built anew: the index in")
    if name != "usages":
        assert_same(built.index, index)
        assert_same(load_index(folder, ENCODER), index)


@pytest.mark.parametrize("damage", ["cut short", "a bit flipped", "empty"])
def test_a_damaged_manifest_is_found_and_the_usages_are_kept(
    index: Tool2Vec, folder: Path, damage: str
) -> None:
    DAMAGES[damage](folder / "index.json")
    with pytest.raises(ToolIndexError, match=r"is damaged|not that of a tool index"):
        load_index(folder, ENCODER)


def test_without_its_manifest_an_index_is_built_anew_with_its_usages(index: Tool2Vec, folder: Path) -> None:
    (folder / "index.json").unlink()
    built = build_index(folder, TOOLS, (), ENCODER)
    assert_same(built.index, index)
    assert "there is no index" in built.notes[0]


def test_usages_that_can_be_read_are_kept_and_so_is_the_damaged_file(folder: Path) -> None:
    path = part(folder, "usages")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "{", lines[2], '{"query": 1}']))
    damaged = path.read_bytes()
    built = build_index(folder, TOOLS, (), ENCODER)
    assert built.index.usages == (USAGES[0], USAGES[2])
    assert "2 of 4 usages could not be read" in built.notes[1]
    assert (folder / "usages.damaged.jsonl").read_bytes() == damaged


def test_usages_that_cannot_be_read_at_all_are_not_thrown_away(folder: Path) -> None:
    path = part(folder, "usages")
    path.unlink()
    path.mkdir()
    with pytest.raises(ToolIndexError, match="--fresh"):
        build_index(folder, TOOLS, (), ENCODER)
    assert build_index(folder, TOOLS, (), ENCODER, fresh=True).index.usages == ()


def test_parts_of_two_indexes_do_not_pass_for_one(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    save_index(Tool2Vec.fit(list(TOOLS)[:2], (), ENCODER), other)
    foreign = json.loads((other / "index.json").read_text())["files"]["vectors"]
    (folder / foreign).write_bytes((other / foreign).read_bytes())
    own = json.loads((folder / "index.json").read_text())["files"]
    change_manifest(folder, files={**own, "vectors": foreign})
    with pytest.raises(ToolIndexError, match="do not go together"):
        load_index(folder, ENCODER)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"version": 1}, "has version 1, and this plait reads 2"),
        ({"files": {}}, "names no tools"),
        ({"files": 5}, "TypeError"),
        ({"format": "other"}, "not that of a tool index"),
    ],
)
def test_a_manifest_of_another_kind_or_version_is_refused(
    folder: Path, fields: dict[str, object], said: str
) -> None:
    change_manifest(folder, **fields)
    with pytest.raises(ToolIndexError, match=said):
        load_index(folder, ENCODER)


def test_a_manifest_that_was_edited_is_refused(folder: Path) -> None:
    text = (folder / "index.json").read_text()
    (folder / "index.json").write_text(text.replace('"n_tools": 4', '"n_tools": 5'))
    with pytest.raises(ToolIndexError, match="changed by something else"):
        load_index(folder, ENCODER)


def test_an_index_of_another_version_or_encoder_is_built_anew_with_its_usages(
    index: Tool2Vec, folder: Path
) -> None:
    change_manifest(folder, version=1)
    assert_same(build_index(folder, TOOLS, (), ENCODER).index, index)
    built = build_index(folder, TOOLS, (), HashingEncoder(32))
    assert "made with the encoder 'hashed words 256'" in built.notes[0]
    assert built.n_encoded == 8
    assert built.index.usages == USAGES
    with pytest.raises(ToolIndexError, match="give the encoder that made it"):
        load_index(folder, ENCODER)


def test_a_folder_of_something_else_is_left_alone(index: Tool2Vec, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text('{"pages": []}')
    for change in (
        lambda: save_index(index, tmp_path),
        lambda: build_index(tmp_path, TOOLS, (), ENCODER),
        lambda: load_index(tmp_path),
    ):
        with pytest.raises(ToolIndexError, match="choose another folder"):
            change()
    assert (tmp_path / "index.json").read_text() == '{"pages": []}'
    (tmp_path / "index.json").write_text("no JSON")
    with pytest.raises(ToolIndexError, match="choose another folder"):
        save_index(index, tmp_path)


def test_where_no_index_is_none_is_loaded_and_no_folder_is_made(tmp_path: Path) -> None:
    for change in (load_index, lambda path: update_index(path, lambda old: old)):
        with pytest.raises(ToolIndexError, match="there is no index"):
            change(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


# Building


def test_building_again_encodes_only_what_is_new(folder: Path) -> None:
    encoder = CountingEncoder()
    tools = [*TOOLS, make_tool("new", "New.")]
    built = build_index(folder, tools, [Usage("do it", ("new",))], encoder)
    assert encoder.texts == ["new: New.", "do it"]
    assert (built.n_encoded, built.notes) == (2, ())
    assert built.index.usages == (*USAGES, Usage("do it", ("new",)))
    assert build_index(folder, tools, (), encoder).n_encoded == 0


def test_building_fresh_forgets_usages(folder: Path) -> None:
    assert build_index(folder, TOOLS, (), ENCODER, fresh=True).index.usages == ()


def test_usages_of_unknown_tools_are_refused_or_left_out_and_told(tmp_path: Path) -> None:
    usages = [*USAGES, *(Usage(f"q{i}", (f"other{i}",)) for i in range(7))]
    with pytest.raises(UnknownToolError):
        build_index(tmp_path / "a", TOOLS, usages, ENCODER)
    assert not (tmp_path / "a").exists()
    built = build_index(tmp_path / "b", TOOLS, usages, ENCODER, skip_unknown=True)
    assert built.index.usages == USAGES
    assert built.notes == (
        "usages name tools that are not there, which are left out: "
        "other0, other1, other2, other3, other4 and 2 more",
    )


def test_usages_are_read_from_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "usages.jsonl"
    path.write_text('{"query": "a\u2028b", "tools": ["x", "y"], "id": 3}\n\n{"query": "", "tools": ["x"]}')
    assert read_usages(path) == [Usage("a\u2028b", ("x", "y")), Usage("", ("x",))]


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '{"query": "a"}', '{"query": "a", "tools": []}', '{"query": "a", "tools": [1]}', "[" * 9999],
)
def test_a_line_that_is_no_usage_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "usages.jsonl"
    path.write_text('{"query": "a", "tools": ["x"]}\n' + line)
    with pytest.raises(ConfigurationError, match="line 2 is no usage"):
        read_usages(path)


def test_a_file_of_usages_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_usages(tmp_path / "none.jsonl")


# Several at once


def test_changes_of_several_threads_are_all_there(folder: Path) -> None:
    def add(number: int) -> None:
        update_index(folder, lambda old: old.adding([make_tool(f"new_{number}")]), HashingEncoder())

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(load_index(folder).names) == {*TOOLS.names, *(f"new_{number}" for number in range(8))}


def test_who_reads_while_another_writes_sees_one_index_or_the_other(folder: Path) -> None:
    done = threading.Event()
    seen: set[tuple[str, ...]] = set()
    failed: list[ToolIndexError] = []

    def read() -> None:
        while not done.is_set():
            try:
                seen.add(load_index(folder, ENCODER).names)
            except ToolIndexError as error:
                failed.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        update_index(folder, lambda old: old.adding([make_tool("new")]), ENCODER)
        update_index(folder, lambda old: old.removing(["new"]), ENCODER)
    done.set()
    reader.join(60)
    assert seen <= {TOOLS.names, tuple(sorted([*TOOLS.names, "new"]))}
    assert all("changed 5 times" in str(error) for error in failed)


def test_files_that_go_while_they_are_read_are_read_again(
    index: Tool2Vec, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, n_read = folder_module._load, []

    def load(*given: object) -> Tool2Vec:
        n_read.append(given)
        if len(n_read) == 1:
            save_index(index.removing(["add"]), folder)
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(folder_module, "_load", load)
    assert "add" not in load_index(folder, ENCODER)
    assert len(n_read) == 2


def test_a_lock_that_is_never_freed_ends_in_an_error(
    index: Tool2Vec, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "_LOCK_TIMEOUT_S", 0.05)
    with FileLock(folder / ".lock"), pytest.raises(ToolIndexError, match="another process"):
        save_index(index, folder)
