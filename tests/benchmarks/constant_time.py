"""swap, rollback and status with 1 thousand rows in 1 file and with 100 million rows in 1,000 files: the same time.

The files of the large gallery are claimed by its file list and are not there: whoever opens one fails.

python tests/benchmarks/constant_time.py FOLDER [--rounds 30]
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import statistics
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa

from skipfill.cli.app import run
from skipfill.store.galleries.commit import commit
from skipfill.store.galleries.log import Version
from skipfill.store.models.cards import Card
from skipfill.store.models.files import save_model
from skipfill.store.parquet.digests.fingerprint import FileFingerprint
from skipfill.store.spaces import Space, View, register_space
from skipfill.store.storage.location import init_store
from skipfill.store.storage.object_store import ObjectStore

SIZES = {"1 thousand rows in 1 file": (1, 1_000), "100 million rows in 1,000 files": (1_000, 100_000)}
COMMANDS = {"swap": ["swap", "g", "v2", "--without-check", "test"], "rollback": ["rollback", "g"], "status": ["status"]}


def store_of(folder: Path, files: int, rows_each: int) -> ObjectStore:
    objects = init_store(folder / ".skipfill")
    register_space(objects, Space("old", 4))
    prints = [FileFingerprint(f"part-{index:06d}.parquet", 10**9, rows_each, f"{index:064d}") for index in range(files)]
    listing = json.dumps([asdict(one) for one in prints]).encode()
    digest = hashlib.sha256(listing).hexdigest()
    objects.put_new(f"galleries/g/files/{digest}.json", listing)
    columns = {"id": "id", "vector": "vector", "label": ""}
    commit(objects, "g", Version(1, "registered", digest, files * rows_each, "old", columns))
    card = Card("v2", "gallery", {}, 8, {"v2": View(8), "old": View(4)}, [], [], 0, {}, {}, {}, "")
    save_model(objects, replace(card), b"v2", pa.array(["a"]))
    return objects


def in_process(folder: Path, arguments: list[str]) -> float:
    """The command alone, without the start of Python that hides it."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        began = time.perf_counter()
        code = run([*arguments, "--store", str(folder / ".skipfill")])
    assert code == 0
    return time.perf_counter() - began


def as_command(folder: Path, arguments: list[str]) -> float:
    code = "from skipfill.cli.app import main; main()"
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=30)
    asked = parser.parse_args()
    folders = {name: asked.folder / str(files) for name, (files, _) in SIZES.items()}
    for name, size in SIZES.items():
        store_of(folders[name], *size)
    for way in (in_process, as_command):
        took: dict[str, dict[str, list[float]]] = {command: {name: [] for name in SIZES} for command in COMMANDS}
        for _ in range(asked.rounds):  # in turns, so that a busy machine slows both
            for command, arguments in COMMANDS.items():
                for name, folder in folders.items():
                    took[command][name].append(way(folder, [*arguments, "--json"]))
        for command, by_size in took.items():
            small, large = (statistics.median(by_size[name]) for name in SIZES)
            print(
                f"{way.__name__:10} {command:8} {small * 1000:7.1f} ms {large * 1000:7.1f} ms  "
                f"ratio {large / small:.3f}"
            )


if __name__ == "__main__":
    main()
