"""Follows the system calls that a command makes, and kills it at one of them."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import COMMAND
from tests.warm import program, run, start

follows_calls = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="follows the system calls of Linux on x86-64"
)
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


# Lets any process follow it, and waits for that. PR_SET_PTRACER is needed on systems with Yama.
STOPPED = "import ctypes, os; ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1)); os.kill(os.getpid(), 19)"


def traced(folder: Path, arguments: list[str], *options: str) -> tuple[int, list[str]]:
    """Run a command under strace; its exit code and the lines that name the folder."""
    log = folder.parent / f"{folder.name}.trace"
    running = start(f"{STOPPED}\n{COMMAND}", arguments, cwd=folder)
    _await(running.pid, "State:\tT")
    with subprocess.Popen(["strace", "-f", "-y", "-qq", "-o", str(log), *options, "-p", str(running.pid)]) as strace:
        _await(running.pid, f"TracerPid:\t{strace.pid}\n")
        os.kill(running.pid, signal.SIGCONT)
        print(running.communicate(timeout=120)[1])  # shown when the test fails
    assert running.returncode is not None
    return running.returncode, [line for line in log.read_text().splitlines() if str(folder) in line]


def _await(process: int, line: str) -> None:
    deadline = time.monotonic() + 60
    while line not in Path(f"/proc/{process}/status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def killed_at(number: int, code: str, arguments: Sequence[object], folder: Path) -> int:
    """Run Python code, and kill it at the n-th call that changes files of the folder: 9, or 0 where it made fewer."""
    done = run(program("tests.programs.kills"), [folder, number, code, *arguments], cwd=folder, timeout=120)
    assert done.returncode in (0, 9), done.stderr
    return done.returncode
