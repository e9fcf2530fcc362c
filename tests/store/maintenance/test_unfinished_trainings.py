"""Trainings that were interrupted: they say where they go on, doctor names them, prune drops them when told to."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from skipfill.store.maintenance.prune import UNFINISHED_TRAINING, leftovers, prune, unfinished_trainings
from skipfill.store.models.files import save_model
from tests.conftest import Skipfill, World, kill_after, spawn, tree
from tests.store.stores import card, store_with, trained_ids

KEY = "training/v9/checkpoint.safetensors"


def aged(path: Path, *, hours: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"12345")
    os.utime(path, (time.time() - 3600 * hours,) * 2)


@pytest.mark.parametrize("hours", [2, 30])
def test_doctor_names_them_and_prune_drops_them_when_told_to(skipfill: Skipfill, tmp_path: Path, hours: float) -> None:
    objects = store_with(tmp_path, 100)
    before = tree(tmp_path)
    aged(objects.root / KEY, hours=hours)
    document = skipfill("doctor", "--json").document
    (named,) = document["trainings"]
    assert (named["key"], named["bytes"], named["young"]) == (KEY, 5, hours < 24)
    assert round(named["age"] / 3600) == hours
    assert document["leftovers"] == []
    shown = skipfill("doctor").out
    assert KEY in shown
    assert "skipfill prune --trainings" in shown
    assert skipfill("prune", "--yes", "--json").document["leftovers"] == []
    assert (objects.root / KEY).exists()
    done = skipfill("prune", "--trainings", "--yes", "--json")
    pruned = done.document["leftovers"]
    assert (f"Kept, because they changed within the last day and may still run: {KEY}." in done.err) == (hours < 24)
    assert [one["key"] for one in pruned] == ([KEY] if hours > 24 else [])
    skipfill("prune", "--trainings", "--all-ages", "--yes")
    assert tree(tmp_path) == before


def test_a_training_that_writes_again_is_not_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = store_with(tmp_path, 100)
    aged(objects.root / KEY, hours=30)
    exists = type(objects).exists

    def written_meanwhile(store: object, key: str) -> bool:
        if key == "models/v9/card.json":
            monkeypatch.undo()
            objects.replace(KEY, b"the next epoch")
        return exists(objects, key)

    listed = unfinished_trainings(objects)
    assert [one.why for one in listed] == [UNFINISHED_TRAINING]
    monkeypatch.setattr(type(objects), "exists", written_meanwhile)
    prune(objects, trainings=True)
    assert objects.get(KEY) == b"the next epoch"


def test_the_checkpoint_of_a_complete_model_is_a_leftover(tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    aged(objects.root / KEY, hours=2)
    save_model(objects, card("v9"), b"v9", trained_ids())
    assert unfinished_trainings(objects) == []
    assert [one.key for one in leftovers(objects)] == [KEY]


def test_a_training_that_goes_on_says_from_where(skipfill: Skipfill, registered: World, tmp_path: Path) -> None:
    command = ["train", "v2", "--items", registered.items, "--gallery", "things", "--epochs", 40]
    kill_after(spawn(*command, cwd=tmp_path), tmp_path / ".skipfill" / KEY.replace("v9", "v2"))
    (left,) = skipfill("doctor", "--json").document["trainings"]
    assert left["key"] == KEY.replace("v9", "v2")
    said = skipfill(*command).err
    assert "Resuming the unfinished training of v2: " in said
    assert " of 46 epochs are done" in said  # 6 of them with the encoder at rest
    again = ["train", "v3", *command[2:-1], 1]
    assert "Resuming" not in skipfill(*again).err
