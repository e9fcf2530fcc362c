"""The README and the help tell the truth: every command line in them parses, and the main story runs."""

from __future__ import annotations

import re
import shlex
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import typer

from skipfill.cli.app import app
from skipfill.compat.methods.registry import METHODS
from tests.conftest import Skipfill, World

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```console\n(.*?)```", README, re.S)
LINES = [line for block in BLOCKS for line in block.splitlines() if line.startswith("skipfill")]


def commands() -> dict[str, Any]:
    """Every command by its full name."""
    found: dict[str, Any] = {}
    root: Any = typer.main.get_command(app)
    for name, command in root.commands.items():
        inner = getattr(command, "commands", None)
        found |= {f"{name} {sub}": one for sub, one in inner.items()} if inner else {name: command}
    return found


def parses(line: str) -> None:
    words = shlex.split(line)[1:]
    known = commands()
    name = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
    assert name in known, f"no such command: {line}"
    known[name].make_context(name, words[len(name.split()) :], resilient_parsing=False).close()


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_readme_parses(line: str) -> None:
    parses(line)


@pytest.mark.parametrize("name", sorted(commands()))
def test_a_command_has_one_sentence_and_an_example_that_parses(name: str) -> None:
    text = commands()[name].help
    assert text.split("\n\n")[0].replace("\n", " ").rstrip().endswith(".")
    example = re.search(r"Example: (skipfill .+)", text)
    assert example
    assert example[1].startswith(f"skipfill {name}")
    parses(example[1])


def test_every_command_and_method_is_in_the_readme() -> None:
    for name in commands():
        assert name.split()[0] in README
    for method in METHODS:
        assert f"`{method}`" in README


def test_the_main_story_runs_as_written(skipfill: Skipfill, registered: World, tmp_path: Path) -> None:
    """The lines under `Upgrade your own gallery`, in their order, on files with the names that they use."""
    shutil.rmtree(tmp_path / ".skipfill")
    shutil.copy("heldout.parquet", "queries.parquet")
    story = README.split("## Upgrade your own gallery")[1].split("\n## ")[0]
    lines = [line for block in re.findall(r"```console\n(.*?)```", story, re.S) for line in block.splitlines()]
    assert len(lines) == 9
    # The gallery's model is not in this store: the held-out queries must be rows of the gallery.
    stored, trained = (pq.read_table(f"{name}.parquet") for name in ("gallery_items", "items"))
    pq.write_table(stored.filter(pc.invert(pc.is_in(stored["id"], trained["id"]))), "heldout.parquet")
    for line in lines:
        words = shlex.split(line)[1:]
        if words[0] == "check":
            assert skipfill(*words, expect=None).code in (0, 1, 3)
        elif words[0] == "swap":
            skipfill(*words, "--without-check", "the small world of this test")
        else:
            skipfill(*words)


def test_the_version(skipfill: Skipfill) -> None:
    assert skipfill("--version").out == f"skipfill {version('skipfill')}\n"
