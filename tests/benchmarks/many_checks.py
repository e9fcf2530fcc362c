"""Seconds that plan, swap, status and history take with one check and with very many, and status with many galleries.

Half of the checks are of the model that is swapped to, on the rows that are now; the rest of others. They pass, fail
and decide nothing in turn, each on queries of its own; the policy names those of the last one, which passes.

    python tests/benchmarks/many_checks.py --checks 10000 --galleries 1000
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from skipfill.store.checks.index import add_entry
from skipfill.store.checks.policy import Policy
from skipfill.store.checks.queries import Queries
from skipfill.store.checks.report import Report
from skipfill.store.checks.requirement import Verdict
from skipfill.store.checks.saved_reports import load_report
from skipfill.store.galleries.policies import change_policy
from skipfill.store.storage.layout import check_folder, per_query_key, report_key, version_key
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.strict_json import json_digest
from tests.store.stores import ASKED, saved_check, store_with

REPEATS = 7
POPULATION = [json_digest(number)[:16] for number in range(2_000)]
COMMANDS = (["plan", "g", "v2"], ["swap", "g", "v2", "--dry-run"], ["status"], ["status", "g"], ["history", "g"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checks", type=int, default=2_000)
    parser.add_argument("--galleries", type=int, default=1_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        one, many = (Path(folder) / name for name in ("one", "many"))
        prepared(one, 0)
        objects = prepared(many, given.checks)
        compare(one, many, f"{given.checks:,} checks")
        for place in (one, many):
            run(place, ["swap", "g", "v2", "--without-check", "to see what status and history read then"])
        compare(one, many, f"{given.checks:,} checks, released", COMMANDS[2:])
        copy_galleries(objects, given.galleries)
        startup = min(seconds(many, ["--version"]) for _ in range(REPEATS))
        of_all = min(seconds(many, ["status"]) for _ in range(REPEATS))
        print(f"status: {of_all:.2f} s with {given.galleries:,} galleries; start-up {startup:.2f} s")


def prepared(place: Path, checks: int) -> ObjectStore:
    """A store with so many copies of a check, and one more that allows a swap."""
    place.mkdir()
    objects = store_with(place, 1_000)
    copy_checks(objects, load_report(objects, "g", saved_check(objects).id), checks)
    saved_check(objects, created="2026-12-31")
    change_policy(objects, "g", replace(Policy(), queries=(ASKED.digest,)))
    return objects


def compare(one: Path, many: Path, what: str, commands: Sequence[list[str]] = COMMANDS) -> None:
    """Print the seconds of commands in two stores: the least of several runs, which take turns."""
    for command in commands:
        runs = [(seconds(one, command), seconds(many, command)) for _ in range(REPEATS)]
        few, all_of_them = (min(column) for column in zip(*runs, strict=True))
        print(f"{' '.join(command)}: {few:.2f} s with 1 check, {all_of_them:.2f} s with {what}: "
              f"{all_of_them / few:.2f} times")  # fmt: skip


def copy_checks(objects: ObjectStore, report: Report, count: int) -> None:
    """Copies of a report: half of them of the same model and rows, a quarter of other rows, one of another model.

    Their queries are drawn anew, so that none of them is like another.
    """
    others = [replace(report, rows_state="0" * 16), replace(report, fingerprint="f" * 64)]
    verdicts: list[Verdict] = ["pass", "fail", "inconclusive"]
    root, chance = Path(str(objects.root)), random.Random(0)
    for place in range(count):
        made = replace(others[place // 2 % 2] if place % 2 else report, id=f"{place:016x}")
        drawn = chance.sample(POPULATION, chance.randint(200, 800))
        made = replace(made, queries=Queries.of(drawn), verdict=verdicts[place // 2 % 3])
        (root / check_folder("g", made.id)).mkdir()
        (root / report_key("g", made.id)).write_text(json.dumps(asdict(made), indent=1))
        (root / per_query_key("g", made.id)).write_bytes(b"")
        add_entry(objects, made)


def copy_galleries(objects: ObjectStore, count: int) -> None:
    """Copy the log of gallery `g` under other names."""
    root = Path(str(objects.root))
    for number in range(count):
        (root / version_key(f"g{number}", 1)).parent.mkdir(parents=True)
        shutil.copy(root / version_key("g", 1), root / version_key(f"g{number}", 1))


def seconds(folder: Path, command: list[str]) -> float:
    """The processor time of a command line in a process of its own: the work of others is not counted."""
    began = used()
    run(folder, command)
    return used() - began


def run(folder: Path, command: list[str]) -> None:
    subprocess.run(
        [sys.executable, "-m", "skipfill.cli", *command],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={key: value for key, value in os.environ.items() if key != "SKIPFILL_STORE"},
        check=True,
    )


def used() -> float:
    """Processor time of the processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
