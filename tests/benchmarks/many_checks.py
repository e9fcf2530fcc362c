"""Seconds that plan, swap and status take with one check and with very many, and status with many galleries.

Half of the checks are of the model that is swapped to, on the state that is now; the rest of others.

    python tests/benchmarks/many_checks.py --checks 10000 --galleries 1000
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa

from skipfill.store.checks.index import add_entry
from skipfill.store.checks.queries import Queries
from skipfill.store.checks.report import Report
from skipfill.store.checks.saved_reports import load_report, save_report
from skipfill.store.storage.layout import check_folder, per_query_key, report_key, version_key
from skipfill.store.storage.object_store import ObjectStore
from tests.store.stores import saved_check, store_with

REPEATS = 5
COMMANDS = (["plan", "g", "v2"], ["swap", "g", "v2", "--dry-run"], ["status"], ["history", "g"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checks", type=int, default=2_000)
    parser.add_argument("--galleries", type=int, default=1_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        objects = store_with(place, 1_000)
        report = load_report(objects, "g", saved_check(objects).id)
        startup = seconds(place, ["--version"])
        one = {" ".join(command): seconds(place, command) for command in COMMANDS}
        copy_checks(objects, report, given.checks)
        many = {" ".join(command): seconds(place, command) for command in COMMANDS}
        for command, time_of_one in one.items():
            print(f"{command}: {time_of_one:.2f} s with 1 check, {many[command]:.2f} s with {given.checks:,}: "
                  f"{many[command] / time_of_one:.2f} times")  # fmt: skip
        copy_galleries(objects, given.galleries)
        print(
            f"status: {seconds(place, ['status']):.2f} s with {given.galleries:,} galleries; start-up {startup:.2f} s"
        )


def copy_checks(objects: ObjectStore, report: Report, count: int) -> None:
    """Copies of a report: half of them of the same model and state, a quarter of another state, one of another model.

    The copies of the same model and state asked other queries, so that none of them is like another.
    """
    others = [replace(report, state="0" * 16), replace(report, fingerprint="f" * 64)]
    root = Path(str(objects.root))
    for place in range(count):
        made = replace(others[place // 2 % 2] if place % 2 else report, id=f"{place:016x}")
        made = replace(made, queries=Queries.of([f"{place}"]))
        (root / check_folder("g", made.id)).mkdir()
        (root / report_key("g", made.id)).write_text(json.dumps(asdict(made), indent=1))
        (root / per_query_key("g", made.id)).write_bytes(b"")
        add_entry(objects, made)
    save_report(objects, replace(report, id="", created="2026-12-31"), pa.table({"id": ["a"]}))


def copy_galleries(objects: ObjectStore, count: int) -> None:
    """Copy the log of gallery `g` under other names."""
    root = Path(str(objects.root))
    for number in range(count):
        (root / version_key(f"g{number}", 1)).parent.mkdir(parents=True)
        shutil.copy(root / version_key("g", 1), root / version_key(f"g{number}", 1))


def seconds(folder: Path, command: list[str]) -> float:
    """The least processor time of some runs of a command line in a process of its own: others' work is not counted."""
    taken = []
    for _ in range(REPEATS):
        began = used()
        subprocess.run(
            [sys.executable, "-m", "skipfill.cli", *command],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={key: value for key, value in os.environ.items() if key != "SKIPFILL_STORE"},
            check=True,
        )
        taken.append(used() - began)
    return min(taken)


def used() -> float:
    """Processor time of the processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
