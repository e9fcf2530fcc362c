"""Imports between rooms, sizes of folders, what tests may import; and `skipfill --help` is light."""

from __future__ import annotations

import ast
import graphlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import World
from tests.sources import PACKAGES, ROOT, SOURCES

STORE = {
    "errors": set(),
    "strict_json": {"errors"},
    "engine": {"errors"},
    "storage": {"errors", "strict_json"},
    "parquet": {"errors", "engine", "storage"},
    "retrieval": {"errors", "engine", "parquet"},
    "spaces": {"errors", "strict_json", "storage", "parquet"},
    "checks": {"errors", "strict_json", "storage", "parquet"},
    "models": {"errors", "strict_json", "storage", "parquet", "spaces", "checks"},
    "galleries": {"errors", "strict_json", "engine", "storage", "parquet", "spaces", "checks", "models"},
    "overlays": {"errors", "strict_json", "storage", "parquet", "galleries"},
    "releases": {"errors", "strict_json", "storage", "spaces", "checks", "models", "galleries", "overlays"},
    "maintenance": {"errors", "storage", "spaces", "checks", "models", "galleries", "overlays", "releases"},
}
COMPAT = {
    "progress": set(),
    "settings": set(),
    "trusted_code": set(),
    "nn": set(),
    "metrics": set(),
    "methods": {"methods.losses", "nn", "settings"},
    "methods.losses": {"nn"},
    "encoders": {"settings", "trusted_code"},
    "inference": {"encoders", "methods", "nn", "progress", "settings"},
    "training": {"inference", "encoders", "methods", "nn", "progress", "settings"},
    "evaluation": {"metrics", "progress", "settings"},
    "evaluation.sequences": {"encoders", "evaluation", "inference", "metrics", "progress"},
    "training.blending": {"training", "gate", "evaluation", "inference", "methods", "metrics", "progress"},
    "reranking": {"evaluation", "inference", "progress"},
    "gate": {"encoders", "evaluation", "inference", "metrics", "progress", "reranking"},
    "advice": {"evaluation", "gate", "inference", "metrics", "progress", "reranking", "training.blending"},
    "export": {"encoders", "inference", "methods", "nn", "progress"},
    "serving": {"inference", "reranking", "trusted_code"},
}
"""The rooms of the same package that each room may import; a room may always import itself."""
KNOWS_NO_STORE = ("nn", "methods", "methods.losses", "metrics", "progress")
MOST_ENTRIES, MOST_LINES, MOST_LINES_OF_FUNCTION = 15, 250, 60
LISTS = ("cli/commands", "cli/documents/schemas", "cli/guide", "compat/methods")
"""Folders of similar things, one file each: they may be long."""


def module(path: Path) -> str:
    """`compat.gate.check`, of the file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(path): path for path in SOURCES}


def imported(path: Path) -> set[str]:
    """The modules that a file imports; those of skipfill without that first word."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.removeprefix("skipfill.") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = (node.module or "").removeprefix("skipfill.")
            inner = {f"{base}.{alias.name}" for alias in node.names}
            names |= (inner & MODULES.keys()) or {base}
    return names


def room(name: str) -> tuple[str, str]:
    """Package and room of a module; the room is the longest name in its package's table."""
    package, _, rest = name.partition(".")
    table = {"compat": COMPAT, "store": STORE}.get(package, {})
    return package, max((one for one in table if f"{rest}.".startswith(f"{one}.")), key=len, default="")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_downwards(path: Path) -> None:
    package, mine = room(module(path))
    for name in imported(path) & MODULES.keys():
        other, theirs = room(name)
        assert PACKAGES.index(other) >= PACKAGES.index(package), f"{path} imports {name}"
        if other == package != "cli" and theirs != mine:
            table = COMPAT if package == "compat" else STORE
            assert theirs in table[mine], f"{path} imports {name}"
        assert not (other == "store" and package == "compat" and mine in KNOWS_NO_STORE), f"{path} imports {name}"


@pytest.mark.parametrize("package", ["compat", "store"])
def test_the_table_names_the_rooms(package: str) -> None:
    table = COMPAT if package == "compat" else STORE
    there = {path.stem for path in (ROOT / package).iterdir() if path.suffix in ("", ".py")} - {
        "__init__",
        "__pycache__",
    }
    assert {name.partition(".")[0] for name in table} == there


def test_the_store_never_imports_torch() -> None:
    for path in (ROOT / "store").rglob("*.py"):
        assert not {name for name in imported(path) if name.split(".")[0] == "torch"}, path


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {name: imported(path) & MODULES.keys() for name, path in MODULES.items()}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the modules


def test_tests_use_public_names_and_import_no_other_test() -> None:
    """A name that begins with `_` is private; what tests share lies in a file that is not a test."""
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                modules, names = node.module.split("."), [alias.name for alias in node.names]
                private = [word for word in (*modules, *names) if word.startswith("_")]
                assert not (modules[0] == "skipfill" and private), f"{path}: {ast.unparse(node)}"
                assert not modules[-1].startswith("test_"), f"{path}: {ast.unparse(node)}"
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):  # what a monkeypatch replaces
                assert not re.fullmatch(r"skipfill(\.\w+)*\._\w+(\.\w+)*", node.value), f"{path}: {node.value}"


@pytest.mark.parametrize("package", PACKAGES)
def test_folders_are_rooms(package: str) -> None:
    for folder in [ROOT / package, *(path for path in (ROOT / package).rglob("*") if path.is_dir())]:
        if folder.name == "__pycache__":
            continue
        entries = [
            path.name for path in folder.iterdir() if path.name not in ("__init__.py", "py.typed", "__pycache__")
        ]
        if str(folder.relative_to(ROOT)) not in LISTS:
            assert len(entries) <= MOST_ENTRIES, f"{folder}: {len(entries)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MOST_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            signature = node.body[0].lineno - node.lineno if "cli/commands" in str(path) else 0
            lines = (node.end_lineno or node.lineno) - node.lineno + 1 - signature
            assert lines <= MOST_LINES_OF_FUNCTION, f"{node.name}: {lines} lines"


def test_pyproject_lists_every_package() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert listed == sorted(f"skipfill.{module(path)}" for path in SOURCES if path.name == "__init__.py")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["check", "--help"], ["complete"]], ids=" ".join
)
def test_help_and_completion_are_light(arguments: list[str]) -> None:
    code = (
        "import atexit, sys; sys.argv[0] = 'skipfill'; from skipfill.cli.app import main; "
        "atexit.register(lambda: print([name for name in ('torch', 'duckdb', 'pyarrow', 'scipy', 'numpy') "
        "if name in sys.modules], file=sys.stderr)); main()"
    )
    completing = {"_SKIPFILL_COMPLETE": "complete_bash", "COMP_WORDS": "skipfill ga", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *([] if arguments == ["complete"] else arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **(completing if arguments == ["complete"] else {})},
    )
    assert (done.stdout == "gallery\n") if arguments == ["complete"] else ("Usage" in done.stdout)
    assert done.stderr.strip().endswith("[]"), done.stderr


def test_the_store_loads_no_torch() -> None:
    modules = [f"skipfill.{name}" for name in MODULES if name.startswith("store")]
    code = (
        f"import importlib, sys; [importlib.import_module(m) for m in {modules!r}]; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_models_are_read_without_torchs_compiler(with_v2: World) -> None:
    """Loading it would take two seconds of every command that encodes."""
    code = (
        "import sys; from skipfill.cli.app import run; "
        "assert not any(run(['encode', name, sys.argv[1], '-o', f'{name}.parquet']) for name in ('v1', 'v2')); "
        "assert 'torch' in sys.modules; assert not {'torch._dynamo', 'sympy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(with_v2.heldout)], check=True, timeout=60)
