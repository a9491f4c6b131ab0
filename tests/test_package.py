"""The package as a whole: what it exports, what imports what, and what is shipped."""

import ast
import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from plait import __version__, errors

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
FOLDERS = {name: ROOT / folder for name, folder in SETTINGS["package-dir"].items()}
PUBLIC = [
    "plait",
    "plait.apps.assistant",
    "plait.apps.web",
    "plait.errors",
    "plait.models",
    "plait.orchestrator",
    "plait.planners",
    "plait.retrieval",
    "plait.tools",
    "plait.tools.assistant",
    "plait.training",
]
LAYERS = {
    "plait.tools": {"plait.tools"},
    "plait.models": {"plait.models"},
    "plait.retrieval": {"plait.retrieval", "plait.tools", "plait.models"},
    "plait.planners": {"plait.planners", "plait.tools", "plait.models", "plait.retrieval"},
    "plait.orchestrator": {
        "plait.orchestrator",
        "plait.planners",
        "plait.tools",
        "plait.models",
        "plait.retrieval",
    },
    "plait.training": {"plait.training", "plait.planners", "plait.tools", "plait.models"},
}
HEAVY = (
    "fastapi",
    "httpx",
    "langchain_core",
    "llama_cpp",
    "llguidance",
    "numpy",
    "pydantic",
    "rich",
    "typer",
    "uvicorn",
)


def sources() -> Iterator[tuple[str, Path]]:
    """Every source file, with its package's name."""
    for package, folder in FOLDERS.items():
        for path in sorted(folder.glob("*.py")):
            yield package, path


def rank(name: str) -> tuple[int, str]:
    """The order that the linter keeps: constants, classes, then the rest."""
    kind = 0 if name.isupper() else 1 if name[:1].isupper() else 2
    return kind, name


def python(*arguments: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", PUBLIC)
def test_what_is_exported_is_sorted_and_there(name: str) -> None:
    module = importlib.import_module(name)
    exported = list(getattr(module, "__all__", ()))  # a package with nothing in it has none
    public = {n for n, value in vars(module).items() if n[0] != "_" and not inspect.ismodule(value)}
    assert exported or not public
    assert exported == sorted(set(exported), key=rank)
    for member in exported:
        assert getattr(module, member) is not None
    assert set(exported) <= set(dir(module))


def test_every_package_is_either_public_or_an_application() -> None:
    assert set(SETTINGS["packages"]) - set(PUBLIC) == {
        "plait.apps",
        "plait.apps.evaluation",
        "plait.apps.voice",
    }
    assert set(SETTINGS["packages"]) == set(FOLDERS)


def test_importing_plait_imports_nothing_heavy(tmp_path: Path) -> None:
    code = f"import sys, plait; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert python("-c", code, cwd=tmp_path) == "[]"


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_what_lies_below_it(layer: str) -> None:
    allowed = {"plait.errors", *LAYERS[layer]}
    files = [(package, path) for package, path in sources() if f"{package}.".startswith(f"{layer}.")]
    assert files
    for package, path in files:
        for imported in imports_of(path, package):
            assert any(f"{imported}.".startswith(f"{name}.") for name in allowed), f"{path}: {imported}"


def test_errors_import_nothing_of_plait() -> None:
    assert list(imports_of(ROOT / "plait" / "errors.py", "plait")) == []


def imports_of(path: Path, package: str) -> Iterator[str]:
    """What of plait the file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            names = [".".join([*parents, node.module or ""]).rstrip(".")]
        elif isinstance(node, ast.ImportFrom) and node.module == "plait":
            names = [f"plait.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        yield from (name for name in names if name == "plait" or name.startswith("plait."))


def test_every_error_stands_in_the_tree_under_its_base() -> None:
    tree = re.findall(r"^([│├└─ ]*)(\w+Error)\b", errors.__doc__ or "", flags=re.MULTILINE)
    bases: list[str] = []
    drawn: dict[str, str] = {}
    for indent, name in tree:
        bases[len(indent) // 4 :] = [name]
        drawn[name] = bases[-2] if len(bases) > 1 else "Exception"
    classes = {
        name: member
        for name, member in inspect.getmembers(errors, inspect.isclass)
        if issubclass(member, Exception)
    }
    assert drawn.keys() == classes.keys() == set(errors.__all__)
    for name, base in drawn.items():
        assert base in [parent.__name__ for parent in classes[name].__bases__]


def test_the_module_runs_as_a_command(tmp_path: Path) -> None:
    assert python("-m", "plait", "--version", cwd=tmp_path) == f"plait {__version__}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from a copy so that nothing is left behind in the tree."""
    assert find_spec("setuptools"), "the extra dev has the setuptools that builds the wheel"
    copy, built = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    leave_out = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in {path.relative_to(ROOT).parts[0] for path in FOLDERS.values()}:
        shutil.copytree(ROOT / folder, copy / folder, ignore=leave_out)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check")
    python("-m", "pip", "wheel", *options, "--wheel-dir", str(built), str(copy), cwd=copy)
    (found,) = built.glob("plait-*.whl")
    return found


def test_the_wheel_has_every_source_file_and_says_that_it_is_typed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {f"{package.replace('.', '/')}/{path.name}" for package, path in sources()}
    for pattern in ("training/data/*.json*", "apps/web/page/*", "models/adapters/*.gguf"):
        data = [path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern)]
        assert data, pattern
        expected.update(f"plait/{path}" for path in data)
    assert shipped == {*expected, "plait/py.typed"}


def test_the_wheel_works_by_itself(wheel: Path, tmp_path: Path) -> None:
    unpacked, elsewhere = tmp_path / "unpacked", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    code = (
        "import sys, plait.tools.assistant, plait.orchestrator, plait.apps.cli\n"
        "for name, module in sys.modules.items():\n"
        "    if name.split('.')[0] == 'plait': print(module.__file__)\n"
    )
    files = python("-c", code, cwd=elsewhere, PYTHONPATH=str(unpacked)).splitlines()
    assert files
    assert [file for file in files if not Path(file).is_relative_to(unpacked)] == []
