"""Follows the system calls that a command makes, and kills it at one of them."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import spawn
from tests.warm import program, run

follows_calls = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="follows the system calls of Linux on x86-64"
)
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


def traced(folder: Path, arguments: list[str], *options: str) -> tuple[int, list[str]]:
    """Run a command under strace; its exit code and the lines that name the folder."""
    log = folder.parent / f"{folder.name}.trace"
    strace = ["strace", "-f", "-y", "-qq", "--seccomp-bpf", "-o", str(log), *options]
    # What Python compiles it does not keep: that would be more calls.
    done = spawn(*arguments, cwd=folder, under=["env", "PYTHONDONTWRITEBYTECODE=1", *strace])
    _, complaint = done.communicate(timeout=120)
    print(complaint)  # shown when the test fails
    return done.returncode, [line for line in log.read_text().splitlines() if str(folder) in line]


def killed_at(number: int, code: str, arguments: Sequence[object], folder: Path) -> int:
    """Run Python code, and kill it at the n-th call that changes files of the folder: 9, or 0 where it made fewer."""
    done = run(program("tests.programs.kills"), [folder, number, code, *arguments], cwd=folder, timeout=120)
    assert done.returncode in (0, 9), done.stderr
    return done.returncode
