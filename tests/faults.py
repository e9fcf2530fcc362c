"""Kill every command that writes, at every file-system call it makes under the store, and look at what is left.

All points, some minutes each: python -m tests.faults --all
A sample of them, as a test runs it: python -m tests.faults --sample 4 --seed 0
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import pkgutil
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from skipfill.cli.app import run
from skipfill.store.doctor import diagnose
from skipfill.store.leftovers import prune
from skipfill.store.location import MARKER, open_store
from skipfill.store.models import load_card, model_names
from skipfill.store.objects import Objects
from skipfill.store.versions import history, newest_version

from .conftest import write_world
from .kills import run_killed

STORE = ".skipfill"
QUICK = ("--epochs", "2", "--batch", "32", "--dim", "8", "--quiet")
TRAIN = ("--items", "items.parquet", "--gallery", "things", *QUICK)
# To be done one after the other, each once in its place: what is there before is what must not be lost.
STORY: dict[str, tuple[str, ...]] = {
    "init": ("init",),
    "train": ("train", "v1", "--items", "old_items.parquet", *QUICK),
    "encode": ("encode", "v1", "gallery_items.parquet", "-o", "gallery.parquet"),
    "gallery add": ("gallery", "add", "things", "gallery.parquet", "--space", "v1"),
    "gallery add, space unknown": ("gallery", "add", "others", "gallery.parquet", "--space", "ada"),
    "train against a gallery": ("train", "v2", *TRAIN, "--method", "bct"),
    "blend": ("blend", "both", "--new", "v2", "--old", "v1"),
    "check": ("check", "things", "v2", "--items", "known.parquet", "--quiet"),
    "swap": ("swap", "things", "v2", "--without-check", "test"),
    "rollback": ("rollback", "things"),
    "prune": ("prune", "--yes", "--all-ages"),
    "gallery drop": ("gallery", "drop", "others", "--confirm", "others"),
    "gallery add, dropped before": ("gallery", "add", "others", "gallery.parquet", "--space", "ada"),
}
ENDS_WITH = {"check": (0, 1, 3)}
DONE_ALREADY = (2, 4)


@dataclass(frozen=True)
class Facts:
    """What a store says, so that two of them can be compared.

    Attributes:
        log: gallery -> the file of each version.
        last: gallery -> number, action and released model of the newest version.
        models: name -> fingerprint.
        checks: ids of complete checks.
        outputs: files that were encoded, by name, and their size.
    """

    log: dict[str, list[str]]
    last: dict[str, list[Any]]
    models: dict[str, str]
    checks: list[str]
    outputs: dict[str, int]

    def comparable(self) -> tuple[Any, ...]:
        """Without times and ids, which differ between two runs."""
        return self.last, self.models, len(self.checks), self.outputs


@dataclass(frozen=True)
class Outcome:
    """Attributes:
    calls: in the store, over all threads: so many points there are.
    points: killed at, and what was wrong then.
    """

    command: str
    calls: int
    points: int
    landed: int
    wrong: list[str] = field(default_factory=list)


def facts(folder: Path) -> Facts:
    outputs = {path.name: path.stat().st_size for path in folder.glob("gallery.parquet")}
    if not (folder / STORE / MARKER).exists():
        return Facts({}, {"": ["no store"]}, {}, [], outputs)
    objects = open_store(folder / STORE)
    log, last = {}, {}
    for name in objects.children("galleries"):
        newest = newest_version(objects, name)
        if newest is not None:
            log[name] = [json.dumps(asdict(one)) for one in history(objects, name)]
            last[name] = [newest.number, newest.action, newest.release and newest.release.model]
    return Facts(
        log,
        last,
        {name: load_card(objects, name).fingerprint for name in model_names(objects)},
        [check for check in objects.children("checks/things") if _complete(objects, check)],
        outputs,
    )


def _complete(objects: Objects, check: str) -> bool:
    return objects.exists(f"checks/things/{check}/report.json")


def wrong_after(
    folder: Path, command: str, before: Facts, after: Facts, *, prune_first: bool
) -> tuple[bool, list[str]]:
    """Whether a killed command's change had landed, and everything that is not as promised."""
    found: list[str] = []

    def must(holds: bool, what: object) -> None:
        if not holds:
            found.append(str(what))

    now = facts(folder)
    landed = now.comparable() == after.comparable()
    must(landed or now.comparable() == before.comparable(), f"neither old nor new: {now.comparable()}")
    must(_nothing_lost(before, now), "a version, a model or a check of before is gone or changed")
    if prune_first:
        found += _clean(folder)
        must(facts(folder) == now, "prune changed more than leftovers")
    code = _quietly(folder, STORY[command])
    allowed = (*ENDS_WITH.get(command, (0,)), *(DONE_ALREADY if landed else ()))
    must(code in allowed, f"repeated: exit {code}")
    again = facts(folder)
    repeats = command in ENDS_WITH and landed  # another check of the same is one more
    must(repeats or again.comparable() == after.comparable(), f"repeated, and not done: {again.comparable()}")
    must(_nothing_lost(now, again), "repeated, and something of before is gone or changed")
    found += _clean(folder)
    must(facts(folder) == again, "prune changed more than leftovers")
    return landed, found


def _nothing_lost(before: Facts, now: Facts) -> bool:
    logs = all(now.log.get(name, [])[: len(log)] == log for name, log in before.log.items())
    return logs and before.models.items() <= now.models.items() and set(before.checks) <= set(now.checks)


def _clean(folder: Path) -> list[str]:
    """Doctor finds nothing but leftovers, prune removes exactly these, and then doctor finds nothing."""
    strange = [path.name for path in folder.glob(".*.part")]
    if not (folder / STORE / MARKER).exists():
        return strange
    objects = open_store(folder / STORE)
    first = diagnose(objects, deep=True)
    removed = prune(objects, all_ages=True)
    second = diagnose(objects, deep=True)
    wrong = [f"doctor: {one}" for one in first.findings + second.findings]
    if [one.key for one in first.leftovers] != [one.key for one in removed]:
        wrong.append(f"doctor's leftovers are {first.leftovers}, prune removed {removed}")
    return [*strange, *wrong, *(f"prune left {one}" for one in second.leftovers)]


def _quietly(folder: Path, command: Sequence[str]) -> int:
    os.chdir(folder)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return run(list(command))


def in_child(act: Callable[[], Any]) -> Any:
    """What `act` returns, in a child: threads that it starts are none of ours, and a fork of ours stays safe."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = json.dumps(act())
        except BaseException as error:
            answer = json.dumps({"raised": repr(error)})
        with os.fdopen(writer, "w") as stream:
            stream.write(answer)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        answer = stream.read()
    os.waitpid(child, 0)
    return json.loads(answer)


class Harness:
    """The story's states, made once; each point starts from a copy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.work.mkdir()
        write_world(self.work)

    def states(self) -> Iterable[tuple[str, Path]]:
        """Each command, and a folder that is ready for it."""
        for index, command in enumerate(STORY):
            if command == "prune":
                self._leave_leftovers()
            state = self.folder / f"{index:02d}"
            shutil.copytree(self.work, state)
            yield command, state
            code = in_child(lambda command=command: _quietly(self.work, STORY[command]))  # type: ignore[misc]
            assert code in ENDS_WITH.get(command, (0,)), f"{command}: {code}"

    def _leave_leftovers(self) -> None:
        store = self.work / STORE
        for key in (
            "models/v9/weights-1.safetensors",
            "models/v1/weights-1.safetensors",
            "checks/things/x/queries.parquet",
        ):
            (store / key).parent.mkdir(parents=True, exist_ok=True)
            (store / key).write_bytes(b"x")
        (store / "store.json#1").touch()

    def act(self, command: str) -> Callable[[], int]:
        return lambda: _quietly(self.work, STORY[command])

    def inside(self, command: str) -> Callable[[str], bool]:
        """In the store; and the file that `encode` writes, which has no name at first."""
        written = [self.work / "#", self.work / "gallery.parquet"] if command == "encode" else []
        watched = tuple(str(path) for path in (self.work / STORE, *written))
        return lambda path: path.startswith(watched)

    def restore(self, state: Path) -> None:
        shutil.rmtree(self.work)
        shutil.copytree(state, self.work)

    def killed(self, command: str, state: Path, choose: Callable[[int], Iterable[int]]) -> Outcome:
        """Kill `command` at the points of those there are that `choose` takes."""
        before = Facts(**in_child(lambda: asdict(facts(state))))
        self.restore(state)
        whole = run_killed(self.act(command), self.inside(command), None)
        after = Facts(**in_child(lambda: asdict(facts(self.work))))
        wrong, points, landed = [], 0, 0
        for at in choose(len(whole.calls)):
            self.restore(state)
            ended = run_killed(self.act(command), self.inside(command), at)
            if ended.code != -signal.SIGKILL:
                continue  # made fewer calls this time
            points += 1
            done, found = self.examined(command, before, after, prune_first=at % 2 == 0)
            landed += done
            wrong += [f"{command}, killed at call {at} ({' '.join(ended.calls[-1])}): {one}" for one in found]
        return Outcome(command, len(whole.calls), points, landed, wrong)

    def killed_at_times(self, command: str, state: Path, times: int, chance: random.Random) -> Outcome:
        """Kill it at random times, wherever it is."""
        before = Facts(**in_child(lambda: asdict(facts(state))))
        self.restore(state)
        began = time.monotonic()
        in_child(self.act(command))
        seconds = time.monotonic() - began
        after = Facts(**in_child(lambda: asdict(facts(self.work))))
        wrong, points, landed = [], 0, 0
        for _ in range(times):
            self.restore(state)
            wait = chance.uniform(0, seconds)
            child = os.fork()
            if child == 0:
                os._exit(self.act(command)())
            time.sleep(wait)
            os.kill(child, signal.SIGKILL)
            if os.waitpid(child, 0)[1] != signal.SIGKILL:
                continue  # was faster
            points += 1
            done, found = self.examined(command, before, after, prune_first=points % 2 == 0)
            landed += done
            wrong += [f"{command}, killed after {wait:.3f} s: {one}" for one in found]
        return Outcome(f"{command}, at random times", 0, points, landed, wrong)

    def examined(self, command: str, before: Facts, after: Facts, *, prune_first: bool) -> tuple[bool, list[str]]:
        answer = in_child(lambda: wrong_after(self.work, command, before, after, prune_first=prune_first))
        return (False, [answer["raised"]]) if isinstance(answer, dict) else (answer[0], answer[1])


def preload() -> None:
    """Import what the commands import, so that a fork of this process need not. Starts no thread."""
    import duckdb  # noqa: F401
    import torch._dynamo  # which the first step of a training imports

    import skipfill.cli
    import skipfill.compat
    import skipfill.store

    torch.set_num_threads(1)
    for package in (skipfill.store, skipfill.compat, skipfill.cli):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--all", action="store_true", help="every point of every command")
    asked.add_argument("--sample", type=int, default=4, help="points of each command")
    asked.add_argument("--times", type=int, default=1, help="random times at which each training is killed")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--only", choices=list(STORY), help="this command only")
    given = asked.parse_args()
    chance = random.Random(given.seed)
    preload()

    def choose(calls: int) -> list[int]:
        every = list(range(1, calls + 1))
        return every if given.all else sorted(chance.sample(every, min(given.sample, calls)))

    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        harness = Harness(Path(folder))
        for command, state in harness.states():
            if given.only in (None, command):
                began = time.monotonic()
                outcomes.append(harness.killed(command, state, choose))
                if command.startswith("train"):
                    outcomes.append(harness.killed_at_times(command, state, given.times, chance))
                harness.restore(state)
                for one in outcomes[-1].wrong:
                    print(one, file=sys.stderr)
                print(command, f"{time.monotonic() - began:.1f} s", file=sys.stderr)
    print(json.dumps({"outcomes": [asdict(one) for one in outcomes]}, indent=1))
    sys.exit(any(one.wrong for one in outcomes))


if __name__ == "__main__":
    main()
