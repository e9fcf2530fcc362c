"""Lines of bash in which `skipfill` is ours."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from tests.conftest import COMMAND


def shell(command: str, cwd: Path) -> tuple[int, str, str]:
    """Run a line of bash in which `skipfill` is ours: exit code of its first command, stdout, stderr."""
    program = shlex.join([sys.executable, "-c", COMMAND])
    done = subprocess.run(
        ["bash", "-c", f'skipfill() {{ {program} "$@"; }}; {command}; exit "${{PIPESTATUS[0]}}"'],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=100,
        preexec_fn=_interruptible,
        env={key: value for key, value in os.environ.items() if key != "SKIPFILL_STORE"},
    )
    return done.returncode, done.stdout, done.stderr


def _interruptible() -> None:
    """Take interrupts, which a job in the background of a shell ignores, and with it all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
