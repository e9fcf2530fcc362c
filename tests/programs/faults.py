"""Kill every command that writes, at every file-system call that it makes in the store, and verify what is left.

Then make the disk fail from each of these calls on: full, without permissions, failing, or read-only.

A file system without hard links: --links EPERM (or ENOTSUP, ENOSYS).

To kill each command at every call takes some minutes: python -m tests.programs.faults --all
A sample of the calls: python -m tests.programs.faults --sample 2 --seed 0

Prints a JSON document of outcomes on stdout; the exit code is 1 if anything was lost. Linux on x86-64 only.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
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
from skipfill.store.checks.saved_reports import counted_checks
from skipfill.store.galleries.log import history, newest_version
from skipfill.store.maintenance.doctor import diagnose
from skipfill.store.maintenance.overlays import is_dropped
from skipfill.store.maintenance.prune import prune
from skipfill.store.models.cards import load_card, model_names
from skipfill.store.overlays.files import read_rows
from skipfill.store.overlays.listing import overlay_history
from skipfill.store.overlays.log import newest_entry, overlays_of
from skipfill.store.storage.layout import MARKER
from skipfill.store.storage.location import open_store
from skipfill.store.storage.object_store import ObjectStore
from tests.conftest import tree, write_world
from tests.programs.kills import FAILURES, LACKING, LINKS, Ended, Failure, run_interrupted

STORE = ".skipfill"
QUICK = ("--epochs", "2", "--batch", "32")
TRAIN = ("--items", "items.parquet", "--gallery", "things", *QUICK)
# Run in this order, each once. What is there before a command must not be lost.
STORY: dict[str, tuple[str, ...]] = {
    "init": ("init",),
    "train": ("train", "v1", "--items", "old_items.parquet", "--dim", "8", *QUICK),
    "encode": ("encode", "v1", "gallery_items.parquet", "-o", "gallery.parquet"),
    "gallery add": ("gallery", "add", "things", "gallery.parquet", "--space", "v1"),
    "gallery add, space unknown": ("gallery", "add", "others", "gallery.parquet", "--space", "ada"),
    "train against a gallery": ("train", "v2", *TRAIN, "--method", "bct"),
    "blend": ("blend", "both", "--new", "v2", "--old", "v1"),
    "policy": ("policy", "things", "--metric", "mAP", "--reason", "we rank"),
    "check": ("check", "things", "v2", "--items", "known.parquet"),
    "swap": ("swap", "things", "v2", "--without-check", "test"),
    "encode onto the old space": ("encode", "v2", "known.parquet", "-o", "new.parquet", "--onto", "v1"),
    "gallery append": ("gallery", "append", "things", "new.parquet"),
    "gallery refresh": ("gallery", "refresh", "things", "gallery.parquet"),
    "rollback": ("rollback", "things"),
    "overlay add": ("overlay", "add", "things", "v2", "--items", "unlabelled.parquet"),
    "overlay add, more": ("overlay", "add", "things", "v2", "--items", "gallery_items.parquet"),
    "overlay rollback": ("overlay", "rollback", "things", "v2"),
    "overlay add, rolled back before": ("overlay", "add", "things", "v2", "--items", "gallery_items.parquet"),
    "overlay add, of another gallery": ("overlay", "add", "others", "v2", "--items", "unlabelled.parquet"),
    "plan": ("plan", "things", "v2", "-o", "plan.json"),
    "search": ("search", "things", "--items", "known.parquet", "-k", "3", "-o", "hits.parquet"),
    "model export": ("model", "export", "v2", "-o", "v2.skipfill"),
    "model add": ("model", "add", "v2.skipfill", "--name", "copy"),
    "prune": ("prune", "--yes", "--all-ages"),
    "overlay drop": ("overlay", "drop", "things", "v2"),
    "gallery drop": ("gallery", "drop", "others", "--confirm", "others"),
    "prune, with an overlay of a dropped gallery": ("prune", "--yes", "--all-ages"),
    "gallery add, dropped before": ("gallery", "add", "others", "gallery.parquet", "--space", "ada"),
}
WRITTEN = {
    "encode": "gallery.parquet",
    "encode onto the old space": "new.parquet",
    "plan": "plan.json",
    "search": "hits.parquet",
    "model export": "v2.skipfill",
}
QUIET = ("init", "train", "encode", "blend", "check", "swap", "search", "prune")
ENDS_WITH = {"check": (0, 1, 3), "plan": (0, 1)}
KINDS = ["killed", "killed at random times", *FAILURES]
DONE_ALREADY = (2, 4)


@dataclass(frozen=True)
class Facts:
    """Facts that a store states, so that two stores can be compared.

    Attributes:
        log: gallery -> the file of each version.
        last: gallery -> number, action and released model of the newest version.
        models: name -> fingerprint.
        checks: ids of complete checks.
        outputs: files that were encoded, by name, and their size.
        overlay_log: gallery in force and model -> the file of each version of its overlay.
        overlay_rows: gallery in force and model -> id and content of each vector.
    """

    log: dict[str, list[str]]
    last: dict[str, list[Any]]
    models: dict[str, str]
    checks: list[str]
    outputs: dict[str, int]
    overlay_log: dict[str, list[str]] = field(default_factory=dict)
    overlay_rows: dict[str, list[str]] = field(default_factory=dict)

    def comparable(self) -> tuple[Any, ...]:
        """Without times and ids, which differ between two runs."""
        return self.last, self.models, len(self.checks), self.outputs, self.overlay_rows


@dataclass(frozen=True)
class Case:
    """A command, the folder it starts from, and what it does when nothing disturbs it.

    Attributes:
        parts: whether a kill may leave a file `.NAME.part`: the file system has no files without a name.
    """

    command: str
    state: Path
    before: Facts
    after: Facts
    calls: list[tuple[str, str]]
    seconds: float
    parts: bool


@dataclass(frozen=True)
class Outcome:
    """The outcome of one command under one kind of fault.

    Attributes:
        calls: number of calls in the store, over all threads: the points to kill it at.
        points: number of these at which it was killed.
        states: number of different trees of files that this left; each is examined.
        landed: number of states in which the change was there.
    """

    command: str
    fault: str
    calls: int
    points: int
    states: int
    landed: int
    wrong: list[str] = field(default_factory=list)


def facts(folder: Path) -> Facts:
    outputs = {path.name: path.stat().st_size for name in WRITTEN.values() for path in folder.glob(name)}
    if not (folder / STORE / MARKER).exists():
        return Facts({}, {"": ["no store"]}, {}, [], outputs)
    objects = open_store(folder / STORE)
    log, last = {}, {}
    for name in objects.children("galleries"):
        newest = newest_version(objects, name)
        if newest is not None:
            log[name] = [json.dumps(asdict(one)) for one in history(objects, name)]
            last[name] = [newest.number, newest.action, newest.release and newest.release.model]
    overlays = {
        f"{name} {by}": (name, by)
        for name in objects.children("overlays")
        if not is_dropped(objects, name)
        for by in overlays_of(objects, name)
        if newest_entry(objects, name, by) is not None
    }
    return Facts(
        log,
        last,
        {name: load_card(objects, name).fingerprint for name in model_names(objects)},
        [check for check in objects.children("checks/things") if _complete(objects, check)],
        outputs,
        {key: [json.dumps(asdict(one)) for one in overlay_history(objects, *of)] for key, of in overlays.items()},
        {key: _overlay_rows(objects, *of) for key, of in overlays.items()},
    )


def _overlay_rows(objects: ObjectStore, gallery: str, by: str) -> list[str]:
    """Id and content of each vector; one that is there twice is listed twice."""
    entry = newest_entry(objects, gallery, by)
    read = [read_rows(objects, gallery, by, file) for file in entry.files] if entry else []
    return sorted(f"{one} {digest}" for ids, digests, _ in read for one, digest in zip(ids, digests, strict=True))


def _complete(objects: ObjectStore, check: str) -> bool:
    return check in counted_checks(objects, "things")


def wrong_after(folder: Path, case: Case, *, prune_first: bool) -> tuple[bool, list[str]]:
    """Whether an interrupted command's change had landed, and everything that is not as promised."""
    command, before, after = case.command, case.before, case.after
    found: list[str] = []

    def must(holds: bool, what: object) -> None:
        if not holds:
            found.append(str(what))

    now = facts(folder)
    landed = now.comparable() == after.comparable()
    must(landed or now.comparable() == before.comparable(), f"neither old nor new: {now.comparable()}")
    must(_nothing_lost(before, now), "a version, a model or a check of before is gone or changed")
    if prune_first:
        found += _clean(folder, parts=case.parts)
        must(facts(folder) == now, "prune changed more than leftovers")
    said = folder.with_name("said again")
    code = _quietly(folder, STORY[command], said)
    allowed = (*ENDS_WITH.get(command, (0,)), *(DONE_ALREADY if landed else ()))
    must(code in allowed, f"repeated: exit {code}, {said.read_text()}")
    again = facts(folder)
    repeats = command in ENDS_WITH and landed  # another check of the same is one more
    must(repeats or again.comparable() == after.comparable(), f"repeated, and not done: {again.comparable()}")
    must(_nothing_lost(now, again), "repeated, and something of before is gone or changed")
    found += _clean(folder, parts=case.parts)
    must(facts(folder) == again, "prune changed more than leftovers")
    return landed, found


def _nothing_lost(before: Facts, now: Facts) -> bool:
    logs = all(now.log.get(name, [])[: len(log)] == log for name, log in before.log.items())
    dropped = [name for name, last in now.last.items() if last[1] == "dropped"]
    overlays = all(
        now.overlay_log.get(name, [])[: len(log)] == log
        for name, log in before.overlay_log.items()
        if name.split(" ")[0] not in dropped
    )
    return logs and overlays and before.models.items() <= now.models.items() and set(before.checks) <= set(now.checks)


def _clean(folder: Path, *, parts: bool) -> list[str]:
    """Doctor finds nothing but leftovers, prune removes exactly these, and then doctor finds nothing."""
    strange = [] if parts else [path.name for path in folder.glob(".*.part")]
    if not (folder / STORE / MARKER).exists():
        return strange
    objects = open_store(folder / STORE)
    first = diagnose(objects, deep=True)
    removed = prune(objects, all_ages=True)
    second = diagnose(objects, deep=True)
    wrong = [f"doctor: {one}" for one in first.findings + second.findings if one.kind != "note"]
    if [one.key for one in first.leftovers] != [one.key for one in removed]:
        wrong.append(f"doctor's leftovers are {first.leftovers}, prune removed {removed}")
    return [*strange, *wrong, *(f"prune left {one}" for one in second.leftovers)]


def _quietly(folder: Path, command: Sequence[str], said: Path = Path(os.devnull)) -> int:
    """Run a command; what it prints on stderr goes to the file `said`."""
    os.chdir(folder)
    with said.open("w") as errors, contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        quiet = ["--quiet"] if command[0] in QUIET or command[1] in ("add", "append", "refresh") else []
        return run([*command, *quiet])


def in_child(act: Callable[[], Any]) -> Any:
    """Result of `act` in a child: the threads that it starts stay there, and this process can fork safely."""
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

    def __init__(self, folder: Path, links: str = "") -> None:
        self.folder = folder
        self.lacking = [Failure(LACKING[links], LINKS)] if links else []
        self.work = folder / "work"
        self.said = folder / "said"
        self.looks = 0  # at what kills and failures left; a prune comes first in every other one
        self.work.mkdir()
        write_world(self.work)

    def states(self) -> Iterable[tuple[str, Path]]:
        """Each command, and a folder that is ready for it."""
        for index, command in enumerate(STORY):
            if command == "prune":
                self._leave_leftovers()
            state, after = (self.folder / f"{index:02d}{name}" for name in ("", " after"))
            shutil.copytree(self.work, state)
            yield command, state
            if after.exists():  # `case` has made it
                self.restore(after)
            else:
                self.complete(command)

    def complete(self, command: str) -> Ended:
        """Run a command in a child, undisturbed."""
        ended = self.run(command, None)
        assert ended.code in ENDS_WITH.get(command, (0,)), f"{command}: {ended.code}"
        return ended

    def _leave_leftovers(self) -> None:
        store = self.work / STORE
        for key in (
            "models/v9/weights-1.safetensors",
            "models/v1/weights-1.safetensors",
            "checks/things/x/queries.parquet",
            "galleries/things/files/x.json",
            "aside/galleries/things/files/y.json",
            "overlays/things/x/files/y.parquet",
        ):
            (store / key).parent.mkdir(parents=True, exist_ok=True)
            (store / key).write_bytes(b"x")
        (store / "store.json#1").touch()

    def act(self, command: str) -> Callable[[], int]:
        return lambda: _quietly(self.work, STORY[command], self.said)

    def run(self, command: str, at: int | None, failure: Failure | None = None) -> Ended:
        """Run a command in a child, on a file system such as it is here; see `run_interrupted`."""
        return run_interrupted(self.act(command), self.inside(command), at, failure, self.lacking)

    def inside(self, command: str) -> Callable[[str], bool]:
        """Tells whether a path is in the store, or is the file that `encode` writes, which has no name at first."""
        file = WRITTEN.get(command, "")
        written = ["#", file, f".{file}.", ".probe#"] if file else []
        watched = tuple(str(self.work / name) for name in (STORE, *written))
        return lambda path: path.startswith(watched)

    def restore(self, state: Path) -> None:
        shutil.rmtree(self.work)
        shutil.copytree(state, self.work)

    def case(self, command: str, state: Path) -> Case:
        """`command` in `state`, undisturbed."""
        before = self.facts(state)
        self.restore(state)
        began = time.monotonic()
        whole = self.complete(command)
        seconds = time.monotonic() - began
        shutil.copytree(self.work, state.with_name(f"{state.name} after"))
        return Case(command, state, before, self.facts(self.work), whole.calls, seconds, bool(self.lacking))

    def facts(self, folder: Path) -> Facts:
        return Facts(**in_child(lambda: asdict(facts(folder))))

    def killed(self, case: Case, points: Iterable[int]) -> Outcome:
        """Kill it at these of its calls."""
        seen, count = Examined(self, case), 0
        for at in points:
            self.restore(case.state)
            ended = self.run(case.command, at)
            if ended.code == -signal.SIGKILL:  # or it made fewer calls this time
                count += 1
                seen.look(f"killed at call {at} ({' '.join(ended.calls[-1])})")
        return seen.outcome("killed", count)

    def failed(self, case: Case, kind: str, points: Iterable[int]) -> Outcome:
        """Let the disk fail while it runs, from these of its calls on."""
        seen, count = Examined(self, case), 0
        for at in points:
            self.restore(case.state)
            ended = self.run(case.command, at, FAILURES[kind])
            count += 1
            said, how = self.said.read_text(), f"{kind} from call {at} on ({' '.join(case.calls[at - 1])})"
            if ended.code in ENDS_WITH.get(case.command, (0,)):
                if self.facts(self.work).comparable() != case.after.comparable():
                    seen.wrong.append(f"{case.command}, {how}: acknowledged, and not done")
            elif not (ended.code == 2 and said.startswith("error: ") and said.count("\n") == 1):
                seen.wrong.append(f"{case.command}, {how}: exit {ended.code}, {said}")
            seen.look(how)
        return seen.outcome(kind, count)

    def killed_at_times(self, case: Case, times: int, chance: random.Random) -> Outcome:
        """Kill it at random times, wherever it is."""
        seen, count = Examined(self, case), 0
        for _ in range(times):
            self.restore(case.state)
            wait = chance.uniform(0, case.seconds)
            child = os.fork()
            if child == 0:
                os._exit(self.act(case.command)())
            time.sleep(wait)
            os.kill(child, signal.SIGKILL)
            if os.waitpid(child, 0)[1] == signal.SIGKILL:  # or it was faster
                count += 1
                seen.look(f"killed after {wait:.3f} s")
        return seen.outcome("killed at random times", count)


class Examined:
    """The trees that kills of one command left: the same tree of files need not be looked at twice."""

    def __init__(self, harness: Harness, case: Case) -> None:
        self.states: set[str] = set()
        self.landed = 0
        self.wrong: list[str] = []
        self._harness = harness
        self._folder = harness.work
        self._case = case

    def look(self, how: str) -> None:
        digest = hashlib.sha256(repr(sorted(tree(self._folder).items())).encode()).hexdigest()
        if digest in self.states:
            return
        self.states.add(digest)
        self._harness.looks += 1
        prune_first = self._harness.looks % 2 == 0
        answer = in_child(lambda: wrong_after(self._folder, self._case, prune_first=prune_first))
        landed, found = (False, [answer["raised"]]) if isinstance(answer, dict) else answer
        self.landed += landed
        self.wrong += [f"{self._case.command}, {how}: {one}" for one in found]

    def outcome(self, fault: str, points: int) -> Outcome:
        calls = len(self._case.calls)
        return Outcome(self._case.command, fault, calls, points, len(self.states), self.landed, self.wrong)


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
    with contextlib.redirect_stdout(io.StringIO()):
        run(["methods", "--json"])  # builds the command line, and imports what parses it


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--all", action="store_true", help="every point of every command")
    asked.add_argument("--sample", type=int, default=4, help="points of each command")
    asked.add_argument("--times", type=int, default=1, help="random times at which each training is killed")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--only", choices=list(STORY), action="append", help="this command only; repeatable")
    asked.add_argument("--kind", choices=KINDS, action="append", help="this fault only; repeatable")
    asked.add_argument("--links", choices=list(LACKING), help="the error with which every hard link fails")
    given = asked.parse_args()
    chance = random.Random(given.seed)
    preload()

    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        harness = Harness(Path(folder), given.links or "")
        for command, state in harness.states():
            if command not in (given.only or STORY):
                continue
            case = harness.case(command, state)
            for kind in given.kind or KINDS:
                every = range(1, len(case.calls) + 1)
                points = every if given.all else sorted(chance.sample(every, min(given.sample, len(every))))
                if kind == "killed at random times":
                    done = harness.killed_at_times(case, given.times if command.startswith("train") else 0, chance)
                else:
                    done = harness.killed(case, points) if kind == "killed" else harness.failed(case, kind, points)
                outcomes.append(done)
                print(f"{command}, {kind}: {done.points} points, {len(done.wrong)} wrong", file=sys.stderr, flush=True)
                print(*done.wrong, sep="\n", end="", file=sys.stderr, flush=True)
            harness.restore(state)
    print(json.dumps({"outcomes": [asdict(one) for one in outcomes]}, indent=1))
    sys.exit(any(one.wrong for one in outcomes))


if __name__ == "__main__":
    main()
