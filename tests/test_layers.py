"""cli -> compat -> store; and `skipfill --help` is light."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Skipfill, World

ROOT = Path(__file__).parents[1]
ALLOWED = {"store": {"store"}, "compat": {"store", "compat"}, "cli": {"store", "compat", "cli"}}
PURE = ["losses", "methods", "metrics"]
SOURCES = [path for layer in ALLOWED for path in sorted((ROOT / layer).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_downwards(path: Path) -> None:
    layer = path.relative_to(ROOT).parts[0]
    for name in imported(path):
        if name.startswith("skipfill."):
            assert name.split(".")[1] in ALLOWED[layer], f"{path} imports {name}"
        assert not (layer == "store" and name.split(".")[0] == "torch"), f"{path} imports torch"


@pytest.mark.parametrize("family", PURE)
def test_losses_methods_and_metrics_know_arrays_only(family: str) -> None:
    for path in (ROOT / "compat" / family).glob("*.py"):
        assert not {name for name in imported(path) if name.startswith("skipfill.store")}, path


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["check", "--help"], ["complete"]], ids=" ".join
)
def test_help_and_completion_are_light(arguments: list[str]) -> None:
    code = (
        "import atexit, sys; from skipfill.cli.app import main; "
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
    assert ("gallery" in done.stdout) if arguments == ["complete"] else ("Usage" in done.stdout)
    assert done.stderr.strip().endswith("[]"), done.stderr


def test_the_store_loads_no_torch() -> None:
    modules = [f"skipfill.store.{path.stem}" for path in (ROOT / "store").glob("*.py") if path.stem != "__init__"]
    code = (
        f"import importlib, sys; [importlib.import_module(m) for m in {modules!r}]; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_models_are_read_without_torchs_compiler(skipfill: Skipfill, registered: World) -> None:
    """Loading it would take two seconds of every command that encodes."""
    sources = ("--items", registered.items, "--gallery", "things", "--align", registered.unlabelled)
    skipfill("train", "v2", *sources, "--epochs", 1)
    code = (
        "import sys; from skipfill.cli.app import run; assert run(sys.argv[1:]) == 0; "
        "assert 'torch' in sys.modules; assert not {'torch._dynamo', 'sympy'} & set(sys.modules)"
    )
    for model in ("v1", "v2"):
        encode = ["encode", model, str(registered.heldout), "-o", f"{model}.parquet"]
        subprocess.run([sys.executable, "-c", code, *encode], check=True, timeout=60)
