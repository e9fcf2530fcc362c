"""Interrupt every command by SIGINT and by SIGTERM at random moments, and verify what is left.

All of it takes some minutes: python -m tests.programs.interrupts --times 20
A sample of the commands: python -m tests.programs.interrupts --times 1 --only train --only status

A command runs in a fork of this process, which has imported what it needs; with --started N, N of the moments are in
a process of its own instead, so that its start is interrupted too. Prints a JSON document of outcomes on stdout; the
exit code is 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from skipfill.cli.app import main as skipfill
from skipfill.cli.signals import end_on_signals
from skipfill.store.maintenance.doctor import diagnose
from skipfill.store.maintenance.prune import prune
from skipfill.store.storage.layout import MARKER
from skipfill.store.storage.location import open_store
from tests.programs.faults import ENDS_WITH, STORE, STORY, Harness, in_child, preload

UNFINISHED = re.compile(r".*#\d+|\..*\.part")  # files that are written, of the store and of users
OF_TORCH = "torchinductor_"  # a folder of a user's, empty here, that PyTorch keeps for all of its runs
NUMBERS = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM}
MESSAGES = {"SIGINT": "error: interrupted. ", "SIGTERM": "error: ended by SIGTERM. "}
# Run in the last state of the story, which they do not change.
READING: dict[str, tuple[str, ...]] = {
    "status": ("status",),
    "status of one": ("status", "things", "--json"),
    "history": ("history", "things"),
    "doctor": ("doctor", "--deep"),
    "matrix": ("matrix", "v1", "v2", "--items", "known.parquet"),
    "methods": ("methods",),
    "model list": ("model", "list"),
    "model show": ("model", "show", "v2"),
    "gallery list": ("gallery", "list"),
    "gallery show": ("gallery", "show", "things"),
    "gallery verify": ("gallery", "verify", "things", "--deep"),
    "check with a ceiling": (
        "check",
        "things",
        "v2",
        "--items",
        "known.parquet",
        "--gallery-items",
        "gallery_items.parquet",
        "--ceiling",
        "v1",
        "--html",
        "report.html",
    ),
    "advise": (
        "advise",
        "things",
        "--candidate",
        "v2",
        "--items",
        "known.parquet",
        "--gallery-items",
        "gallery_items.parquet",
        "--halves",
        "halves",
    ),
    "demo": ("demo", "--epochs", "1"),
}
COMMANDS = {**STORY, **READING}
ENDS = {**ENDS_WITH, "check with a ceiling": (0, 1, 3), "advise": (0, 1, 3)}


@dataclass
class Outcome:
    """Attributes:
    codes: exit codes, and how often each came; minus a signal's number, or 1, where Python itself was still starting.
    slowest: seconds from a signal to the end.
    """

    command: str
    signal: str
    codes: dict[int, int] = field(default_factory=dict)
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Ended:
    """The end of a command: seconds after the signal, exit code, and all that it printed on stderr."""

    seconds: float
    code: int
    said: str


class Interrupts:
    """Runs commands from the states of a story, and interrupts them."""

    def __init__(self, harness: Harness, latest: float) -> None:
        self.latest = latest
        self.work = harness.work
        self.said = harness.said
        self.temporary = harness.folder / "temporary"
        self._harness = harness

    def states(self) -> Iterator[tuple[str, Path]]:
        """Each command, and a folder that is ready for it."""
        yield from self._harness.states()
        last = self._harness.folder / "last"
        shutil.copytree(self.work, last)
        for command in READING:
            yield command, last

    def interrupt(self, command: str, state: Path, name: str, wait: float, *, started: bool) -> Ended:
        """Start the command in a copy of the state, and send it a signal after `wait` seconds."""
        self._harness.restore(state)
        (self.work / STORE / "store.json#1").unlink(missing_ok=True)  # for prune, which is to find it
        shutil.rmtree(self.temporary, ignore_errors=True)
        self.temporary.mkdir()
        child = self._started(command) if started else self._forked(command)
        time.sleep(wait)
        os.kill(child, NUMBERS[name])
        began = time.monotonic()
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            seconds = time.monotonic() - began
            if ended:
                return Ended(seconds, os.waitstatus_to_exitcode(status), self.said.read_text())
            if seconds > 10:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.001)

    def seconds(self, command: str, state: Path) -> float:
        """Seconds that it takes, undisturbed, in a fork."""
        if command == "demo":  # minutes
            return 10
        self._harness.restore(state)
        began = time.monotonic()
        code = os.waitstatus_to_exitcode(os.waitpid(self._forked(command), 0)[1])
        assert code in ENDS.get(command, (0,)), f"{command}: {code}, {self.said.read_text()}"
        return time.monotonic() - began

    def _started(self, command: str) -> int:
        with self.said.open("w") as said:
            environment = {**os.environ, "TMPDIR": str(self.temporary)}
            arguments = [sys.executable, "-c", "from skipfill.cli.__main__ import main; main()", *COMMANDS[command]]
            return subprocess.Popen(
                arguments,
                cwd=self.work,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                # A shell's background job ignores it, and so would what the job starts.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            ).pid

    def _forked(self, command: str) -> int:
        """A fork that listens to signals already, and begins the command now."""
        reader, writer = os.pipe()
        child = os.fork()
        if child:
            os.close(writer)
            os.read(reader, 1)
            os.close(reader)
            return child
        code = 70
        try:
            os.chdir(self.work)
            os.environ["TMPDIR"] = str(self.temporary)
            tempfile.tempdir = None
            with self.said.open("w") as said, open(os.devnull, "w") as nowhere:  # noqa: PTH123
                os.dup2(said.fileno(), 2)
                os.dup2(nowhere.fileno(), 1)
            sys.argv = ["skipfill", *COMMANDS[command]]
            signal.signal(signal.SIGINT, signal.default_int_handler)
            end_on_signals()
            os.write(writer, b"1")
            skipfill()
        except SystemExit as ended:
            code = int(ended.code or 0)
        finally:
            os._exit(code)

    def wrong_after(self, command: str, name: str, ended: Ended, *, started: bool) -> list[str]:
        """Everything that is not as promised after a command that was interrupted."""
        left = [path.name for path in self.temporary.iterdir() if not path.name.startswith(OF_TORCH)]
        wrong = [f"left {name} in the temporary folder" for name in left]
        wrong += [f"left {path.name}" for path in self.work.rglob("*") if UNFINISHED.fullmatch(path.name)]
        if ended.seconds > self.latest:
            wrong.append(f"ended after {ended.seconds:.2f} s")
        if ended.code == 128 + NUMBERS[name]:
            errors = [line for line in ended.said.splitlines() if line.startswith(("error", "Traceback", "Exception"))]
            if len(errors) != 1 or not errors[0].startswith(MESSAGES[name]):
                wrong.append(f"said {ended.said!r}")
        elif ended.code not in ENDS.get(command, (0,)) and not (started and _too_early(name, ended)):
            wrong.append(f"exit code {ended.code}, said {ended.said!r}")
        return wrong + in_child(self._unhealthy)

    def _unhealthy(self) -> list[str]:
        place = self.work / ("skipfill-demo/.skipfill" if (self.work / "skipfill-demo/.skipfill").exists() else STORE)
        if not (place / MARKER).exists():
            return []
        objects = open_store(place)
        found = [f"doctor: {one}" for one in diagnose(objects, deep=True).findings if one.kind != "note"]
        prune(objects, all_ages=True)
        return found + [f"prune left {one}" for one in diagnose(objects).leftovers]


def _too_early(name: str, ended: Ended) -> bool:
    """Whether the signal came while Python itself started, before the first line of the program."""
    traceback = "KeyboardInterrupt" in ended.said and "in main" not in ended.said
    return (ended.code == -NUMBERS[name] and not ended.said) or (ended.code in (-NUMBERS[name], 1) and traceback)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--times", type=int, default=20, help="moments for each command and signal")
    asked.add_argument("--started", type=int, default=4, help="of these, in a process of its own")
    asked.add_argument("--latest", type=float, default=1.0, help="seconds from a signal to the end")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument(
        "--only", choices=list(COMMANDS), action="append", help="this command only; repeatable, in their order"
    )
    given = asked.parse_args()
    chance = random.Random(given.seed)
    preload()
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        harness = Harness(Path(folder))
        interrupts = Interrupts(harness, given.latest)
        for command, state in interrupts.states():
            if command not in (given.only or COMMANDS):
                continue
            whole = interrupts.seconds(command, state)
            for name in NUMBERS:
                outcome = Outcome(command, name)
                for turn in range(given.times):
                    started = turn < given.started
                    wait = chance.uniform(0, 1.5 if started else whole)
                    ended = interrupts.interrupt(command, state, name, wait, started=started)
                    outcome.codes[ended.code] = outcome.codes.get(ended.code, 0) + 1
                    outcome.slowest = max(outcome.slowest, round(ended.seconds, 3))
                    how = f"{command}, {name} after {wait:.3f} s{' of its own process' if started else ''}"
                    wrong = interrupts.wrong_after(command, name, ended, started=started)
                    outcome.wrong += [f"{how}: {one}" for one in wrong]
                outcomes.append(outcome)
                print(f"{command}, {name}: {outcome.codes}, {outcome.slowest} s", file=sys.stderr, flush=True)
                with contextlib.suppress(BrokenPipeError):
                    print(*outcome.wrong, sep="\n", end="\n" if outcome.wrong else "", file=sys.stderr, flush=True)
            harness.restore(state)
            if command == (given.only or list(COMMANDS))[-1]:
                break
    print(json.dumps({"outcomes": [asdict(one) for one in outcomes]}, indent=1))
    sys.exit(any(one.wrong for one in outcomes))


if __name__ == "__main__":
    main()
