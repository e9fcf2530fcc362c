"""Writers of an overlay that are killed: at every call that changes files, and at random moments."""

from __future__ import annotations

import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from skipfill.store.maintenance.doctor import diagnose
from skipfill.store.maintenance.prune import leftovers, prune
from skipfill.store.overlays.compact import MOST_SMALL
from skipfill.store.overlays.listing import overlay_by, overlay_history, verify_overlay
from skipfill.store.overlays.overlay import open_overlay
from skipfill.store.storage.location import open_store
from skipfill.store.storage.object_store import ObjectStore
from tests.store.overlays.rows import BY, DIM, add, held, vectors_of
from tests.store.stores import store_with
from tests.store.system_calls import follows_calls, killed_at
from tests.warm import start

ADD = """
import sys
from pathlib import Path
from skipfill.store.storage.location import open_store
from tests.store.overlays.rows import add
objects = open_store(Path(".skipfill"))
done = add(objects, [(name, 0) for name in sys.argv[1:]])
print(done.added, done.already)
"""
TWO_WRITERS = """
import sys
from pathlib import Path
from skipfill.store.storage.location import open_store
from tests.store.overlays.rows import add
objects, before = open_store(Path(".skipfill")), None
with open(sys.argv[1], "a") as told:
    for turn in range(10_000):
        names = [f"{sys.argv[1]}-{sys.argv[2]}-{turn}", f"both-{turn}"]
        before = add(objects, [(name, 0) for name in names], before).overlay
        told.write("\\n".join(names) + "\\n")
        told.flush()
"""


def sound(objects: ObjectStore) -> list[str]:
    """Problems of the store, and leftovers that a prune did not remove."""
    prune(objects, all_ages=True)
    found = [one.what for one in diagnose(objects, deep=True).findings if one.kind == "problem"]
    return [*found, *(left.key for left in leftovers(objects))]


@follows_calls
def test_killed_at_every_second_call_an_addition_and_its_compaction_are_whole(tmp_path: Path) -> None:
    """The seventeenth small file: it is added, and then all are joined."""
    made, folder = tmp_path / "made", tmp_path / "work"
    made.mkdir()
    objects = store_with(made, 100)
    for number in range(MOST_SMALL):
        add(objects, [(f"r{number}", 0)])
    seen = set()
    for number in range(1, 999, 2):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(made, folder)
        code = killed_at(number, ADD, ["x", "y"], folder)
        objects = open_store(folder / ".skipfill")
        overlay, log = open_overlay(objects, "g", BY, DIM), overlay_history(objects, "g", BY)
        seen.add((overlay.rows, log[-1].action))
        assert (overlay.rows, log[-1].action) in {
            (MOST_SMALL, "added"),
            (MOST_SMALL + 2, "added"),
            (MOST_SMALL + 2, "compacted"),
        }
        assert all(held(overlay, f"r{row}", 0) is not None for row in range(MOST_SMALL))
        assert (held(overlay, "x", 0) is None) == (held(overlay, "y", 0) is None) == (overlay.rows == MOST_SMALL)
        if number % 4 == 1:
            assert sound(objects) == []
        assert add(objects, [("x", 0), ("y", 0)]).added == (2 if overlay.rows == MOST_SMALL else 0)
        assert open_overlay(objects, "g", BY, DIM).rows == MOST_SMALL + 2
        assert sound(objects) == []
        if not code:
            break
    assert len(seen) == 3
    assert number > 20


def test_writers_that_are_killed_lose_nothing_they_were_told(tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    chance = random.Random(0)
    for turn in range(6):
        writers = [start(TWO_WRITERS, [name, str(turn)], cwd=tmp_path) for name in ("a", "b")]
        time.sleep(chance.uniform(0.3, 0.9))
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.communicate()
        if turn % 2:
            prune(objects, all_ages=True)
    told = {name for writer in ("a", "b") for name in (tmp_path / writer).read_text().split("\n")[:-1]}
    assert len(told) > 20
    overlay = open_overlay(objects, "g", BY, DIM)
    names = sorted(told)
    places = overlay.places(pa.array(names))
    assert (places >= 0).all()
    np.testing.assert_array_equal(overlay.vectors(places), vectors_of([(name, 0) for name in names]))
    verify_overlay(objects, "g", overlay_by(objects, "g", BY))  # none is there twice
    assert sound(objects) == []
