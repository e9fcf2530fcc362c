"""Completion in a real bash: names of the store and names that skipfill knows; silence where there is no store."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from skipfill.cli import completion
from skipfill.compat.methods.registry import METHODS
from tests.conftest import Skipfill
from tests.store.stores import saved_check, store_with

BASH = shutil.which("bash")
pytestmark = pytest.mark.skipif(BASH is None, reason="no bash")


def completed(folder: Path, *lines: str) -> list[list[str]]:
    """Completions that bash offers at the end of each command line, by the script that skipfill prints."""
    program = folder / "bin" / "skipfill"
    if not program.exists():
        program.parent.mkdir()
        program.write_text(f"#!{sys.executable}\nfrom skipfill.cli.__main__ import main\nmain()\n")
        program.chmod(0o755)
    parts = []
    for line in lines:
        words = line.split(" ")
        parts.append(f"COMP_WORDS=({' '.join(repr(word) for word in words)}); COMP_CWORD={len(words) - 1}")
        parts.append('_skipfill_completion skipfill; echo "${COMPREPLY[*]}"')
    script = "\n".join(['eval "$(skipfill --show-completion bash)"', *parts])
    done = subprocess.run(
        [str(BASH), "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={
            **os.environ,
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
        },
    )
    assert done.stderr == ""
    return [line.split() for line in done.stdout.splitlines()]


def test_bash_offers_names_of_the_store(skipfill: Skipfill, tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    check = saved_check(objects, "v2")
    got = completed(
        tmp_path,
        "skipfill check ",
        "skipfill check g v",
        f"skipfill report g {check.id[:3]}",
        "skipfill gallery add x f --space ",
    )
    assert got == [["g"], ["v2", "v3"], [check.id], ["old", "v2", "v3"]]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / ".skipfill").rename(tmp_path / "shop")
    got = completed(
        elsewhere,
        "skipfill status ",
        "skipfill status --store ../shop ",
        "skipfill train v4 --method b",
        "skipfill guide ga",
    )
    assert got == [[], ["g"], ["bct", "bt2"], ["gate"]]


def test_the_methods_are_those_of_the_registry() -> None:
    assert completion.methods() == list(METHODS)
