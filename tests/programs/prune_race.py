"""A race of writers, who write the very names of old leftovers again, against prunes that never stop.

python -m tests.programs.prune_race STORE FOLDER SECONDS

STORE was made by `store_at` (tests/store/stores.py), with its files in FOLDER. The race leaves files in FOLDER:
`acknowledged-*` of what each writer was told is done, `turns-*` of how often each process went round, and `wrong-*` of
what went wrong. The exit code is the number of processes that failed. Leftovers that writers plant end in a line feed;
on object storage, where nothing can be given an older time, somebody else must make them old.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from skipfill.store.errors import BadInput, Stale
from skipfill.store.galleries.append import append_rows
from skipfill.store.galleries.file_list import read_files
from skipfill.store.galleries.log import Version, history, newest_version
from skipfill.store.galleries.register import add_gallery, drop_gallery
from skipfill.store.maintenance.doctor import diagnose
from skipfill.store.maintenance.prune import prune
from skipfill.store.models.cards import file_key, load_card, model_names
from skipfill.store.models.files import read_file, save_model
from skipfill.store.overlays.add import add_rows
from skipfill.store.overlays.files import NewFile
from skipfill.store.overlays.listing import verify_overlay
from skipfill.store.overlays.log import newest_entry
from skipfill.store.overlays.overlay import open_overlay
from skipfill.store.parquet.stored_rows import Columns
from skipfill.store.releases.rollback import rollback
from skipfill.store.spaces import Space, load_space
from skipfill.store.storage.address import Address, address
from skipfill.store.storage.layout import overlay_file_key
from skipfill.store.storage.location import open_store
from skipfill.store.storage.object_store import ObjectStore
from tests.conftest import write_vectors
from tests.store.stores import card, swap, trained_ids

HOUR = 3600
PAUSE, REMOTE_PAUSE = 0.03, 0.5  # between a leftover and its writer, at most: a prune begins to look meanwhile
WRITERS, READERS, PRUNERS = 3, 2, 2


@dataclass
class Writer:
    """One writer, round after round, each under names that nobody else uses."""

    objects: ObjectStore
    folder: Path
    number: int
    scratch: ObjectStore

    def turn(self, turn: int) -> None:
        name = f"w{self.number}-{turn}"
        file, more = self._file(f"{name}-a", 0), self._file(f"{name}-b", 10)
        space = Space(name, 4)
        add = (self.objects, name, [file], Columns(), space, None)
        self.plant(_list(name, add_gallery(*add, dry_run=True).version), f"spaces/{name}.json")
        self.acknowledge(name, add_gallery(*add).version)
        self.plant(_list(name, append_rows(self.objects, name, [more], dry_run=True).version))
        self.acknowledge(name, append_rows(self.objects, name, [more]).version)
        weights = os.urandom(64)
        files = save_model(self.scratch, card(name), weights, trained_ids())
        self.plant(*(file_key(files, one) for one in files.files))
        save_model(self.objects, card(name), weights, trained_ids())
        self.acknowledge(name, None)
        self.add_to_overlay(name)
        self.contend(lambda: swap(self.objects, "g", load_card(self.objects, name), "race"))
        self.contend(lambda: rollback(self.objects, "g", "race"))
        if turn % 2:
            self.acknowledge(name, drop_gallery(self.objects, name))

    def add_to_overlay(self, name: str) -> None:
        """Add two rows to the one overlay of all writers: one of its own, and one that others add too."""
        ids, digests = pa.array([name, f"both-{name.split('-')[1]}"]), np.array([7, 8], np.uint64)
        by, vectors = load_card(self.objects, "v2").fingerprint, np.ones((2, 4), np.float32)
        file = NewFile(ids, digests, vectors).listed.digest
        self.plant(overlay_file_key("g", by, file))
        add_rows(self.objects, "g", by, ids, digests, vectors, model="v2")
        with (self.folder / f"added-{self.number}").open("a") as told:
            told.write("".join(f"{one}\n" for one in ids.to_pylist()))

    def contend(self, act: Callable[[], Version]) -> None:
        try:
            self.acknowledge("g", act())
        except (Stale, BadInput) as error:
            if not isinstance(error, Stale) and "expected a swap in force" not in str(error):
                raise

    def plant(self, *keys: str) -> None:
        """Leave what a writer that was killed two hours ago would have left."""
        for key in keys:
            name = key.removeprefix("spaces/").removesuffix(".json")
            data = json.dumps(asdict(Space(name, 4))).encode() if key.startswith("spaces/") else b"half"
            self.objects.replace(key, data + b"\n")
            if isinstance(self.objects.root, Path):
                os.utime(self.objects.root / key, (time.time() - 2 * HOUR,) * 2)
        time.sleep(random.uniform(0, PAUSE if isinstance(self.objects.root, Path) else REMOTE_PAUSE))

    def acknowledge(self, gallery: str, version: Version | None) -> None:
        with (self.folder / f"acknowledged-{self.number}").open("a") as file:
            file.write(json.dumps([gallery, version and version.number, version and version.commit]) + "\n")

    def _file(self, name: str, first: int) -> Path:
        return write_vectors(self.folder / f"{name}.parquet", np.ones((10, 4)), np.arange(first, first + 10))


def _list(gallery: str, version: Version) -> str:
    return f"galleries/{gallery}/files/{version.files}.json"


def look(objects: ObjectStore, newest: int) -> None:
    """Read what the newest versions, and models, refer to. Raises what is wrong."""
    for name in _some(objects.children("galleries"), newest):
        version = newest_version(objects, name)
        for one in history(objects, name)[-newest:] if version else []:
            read_files(objects, name, one)
            load_space(objects, one.space)
    by = load_card(objects, "v2").fingerprint
    open_overlay(objects, "g", by, 4)
    for name in _some(model_names(objects), newest):
        found = load_card(objects, name)
        for file in found.files:
            read_file(objects, found, file)


def refuse_findings(objects: ObjectStore) -> None:
    if found := diagnose(objects).findings:
        raise AssertionError(found)


def _some(names: list[str], count: int) -> list[str]:
    return random.sample(names, min(count, len(names)))


def lost(objects: ObjectStore, folder: Path) -> list[str]:
    """Everything that was acknowledged and is not there."""
    missing = []
    for path in sorted(folder.glob("acknowledged-*")):
        for gallery, number, commit in map(json.loads, path.read_text().splitlines()):
            there = model_names(objects) if number is None else [one.commit for one in history(objects, gallery)]
            if (gallery if number is None else commit) not in there:
                missing.append(f"{gallery} {number}")
    by = load_card(objects, "v2").fingerprint
    overlay = open_overlay(objects, "g", by, 4)
    rows = {one for path in folder.glob("added-*") for one in path.read_text().splitlines()}
    missing += [one for one in sorted(rows) if overlay.places(pa.array([one]))[0] < 0]
    if entry := newest_entry(objects, "g", by):
        verify_overlay(objects, "g", entry)  # raises for a row that is there twice
    return missing


def _until(end: float, act: Callable[[int], object], folder: Path, role: str) -> None:
    turn = 0
    while time.monotonic() < end:
        try:
            act(turn)
        except Exception:
            (folder / f"wrong-{role}").write_text(traceback.format_exc())
            os._exit(1)
        turn += 1
    (folder / f"turns-{role}").write_text(str(turn))
    os._exit(0)


def main() -> None:
    sys.exit(race(address(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])))


def race(place: Address, folder: Path, seconds: float) -> int:
    end = time.monotonic() + seconds

    def writer(number: int) -> Callable[[int], object]:
        scratch = folder / f"scratch-{number}"
        scratch.mkdir()
        return Writer(open_store(place), folder, number, ObjectStore(scratch)).turn

    def reader() -> Callable[[int], object]:
        objects = open_store(place)
        return lambda turn: look(objects, 3)

    def pruner() -> Callable[[int], object]:
        objects = open_store(place)
        return lambda turn: prune(objects)

    def doctor() -> Callable[[int], object]:
        objects = open_store(place)
        return lambda turn: refuse_findings(objects)

    roles = {f"writer-{number}": lambda number=number: writer(number) for number in range(WRITERS)}
    roles |= {f"reader-{number}": reader for number in range(READERS)} | {
        f"prune-{number}": pruner for number in range(PRUNERS)
    }
    children = []
    for role, made in roles.items():
        child = os.fork()
        if child == 0:
            _until(end, made(), folder, role)
        children.append(child)
    return sum(os.waitpid(child, 0)[1] != 0 for child in children)


if __name__ == "__main__":
    main()
