"""Runs a command under strace, for tests of the system calls that it makes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import spawn

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


def traced(folder: Path, arguments: list[str], *options: str) -> tuple[int, list[str]]:
    """Run a command under strace; its exit code and the lines that name the folder."""
    log = folder.parent / f"{folder.name}.trace"
    strace = ["strace", "-f", "-y", "-qq", "-o", str(log), *options]
    # What Python compiles it does not keep: that would be more calls.
    done = spawn(*arguments, cwd=folder, under=["env", "PYTHONDONTWRITEBYTECODE=1", *strace])
    _, complaint = done.communicate(timeout=120)
    print(complaint)  # shown when the test fails
    return done.returncode, [line for line in log.read_text().splitlines() if str(folder) in line]
