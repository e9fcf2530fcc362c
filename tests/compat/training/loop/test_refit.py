"""The class view of `gallery` is trained on, on the features of the trained encoder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from skipfill.compat.methods.batch import OldSpace
from skipfill.compat.methods.gallery.method import Gallery, Settings
from skipfill.compat.methods.method import MethodContext
from skipfill.compat.progress import Progress
from skipfill.compat.training.data.feature_cache import Features
from skipfill.compat.training.loop.checkpoint import Checkpoints
from skipfill.compat.training.loop.epoch_log import Epoch, best_epoch
from skipfill.compat.training.loop.refit import refit
from skipfill.compat.training.loop.schedule import Watcher
from skipfill.compat.training.loop.task import Task
from skipfill.store.models.cards import LOG, WEIGHTS, load_card
from skipfill.store.models.files import read_file
from skipfill.store.storage.location import open_store
from skipfill.store.storage.object_store import ObjectStore
from tests.compat.training.training_world import CLASSES, INPUTS, ITEMS, OLD, Noisy, data, schedule
from tests.conftest import Skipfill, World, kill_after, spawn

STORE = Path(".skipfill")


def weights(name: str) -> dict[str, torch.Tensor]:
    objects = open_store(STORE)
    return load(read_file(objects, load_card(objects, name), WEIGHTS))


def test_encoder_and_imitation_stay_as_they_were_and_the_class_view_fits_better(
    skipfill: Skipfill, registered: World
) -> None:
    command = ["--items", registered.items, "--gallery", "things", "--epochs", 5]
    skipfill("train", "without", *command, "--set", "gallery.refit=0")
    skipfill("train", "refitted", *command)
    before, after = weights("without"), weights("refitted")
    kept = [name for name in before if name.startswith(("encoder.", "head.imitation."))]
    assert len(kept) > 2
    assert all(torch.equal(before[name], after[name]) for name in kept)
    assert all(not torch.equal(before[name], after[name]) for name in ("head.own.weight", "head.classifier.weight"))
    objects = open_store(STORE)
    lines = read_file(objects, load_card(objects, "refitted"), LOG).decode().splitlines()
    log = [json.loads(line) for line in lines]
    assert [one["epoch"] for one in log] == [*range(1, 6 + Settings().refit)]
    assert all(log[-1]["losses"][term] < log[4]["losses"][term] for term in ("class", "prototypes", "neighbours"))
    assert load_card(objects, "without").training["epochs"] == 5


def test_killed_while_the_heads_are_trained_it_goes_on_and_ends_with_the_same_weights(
    skipfill: Skipfill, registered: World, tmp_path: Path
) -> None:
    command = ["--items", registered.items, "--gallery", "things", "--epochs", 2, "--set", "gallery.refit=200"]
    skipfill("train", "whole", *command)
    running = spawn("train", "killed", *command, cwd=tmp_path)
    checkpoint = STORE / "training" / "killed" / "refit.safetensors"
    kill_after(running, checkpoint)
    assert not (STORE / "models" / "killed" / "card.json").exists()
    skipfill("train", "killed", *command)
    whole, killed = weights("whole"), weights("killed")
    assert all(torch.equal(one, killed[name]) for name, one in whole.items())
    # The kill may have left a file that was being written.
    assert not checkpoint.parent.exists() or all("#" in path.name for path in checkpoint.parent.iterdir())


@pytest.mark.parametrize("before", [-1.0, 1e9])
def test_with_validation_the_best_epoch_of_both_trainings_is_kept(before: float, tmp_path: Path) -> None:
    given = data(validation=torch.arange(0, ITEMS, 3))
    assert given.pool is not None
    old = OldSpace(OLD, torch.randn(CLASSES, OLD), torch.full((CLASSES,), 8), given.pool)
    method = Gallery(MethodContext(INPUTS, CLASSES, 0, old), Settings())
    earlier = {name: value.clone() for name, value in method.state_dict().items()}
    log = [Epoch(1, 4, 0.1, {}, {"class": before}, 1.0, 1.0)]
    checkpoints = Checkpoints(ObjectStore(tmp_path), "training/x/refit.safetensors", "recipe")
    features = Features(Noisy(lambda batch: None, 0.0))
    more = refit(Task(features, method, given, schedule(), checkpoints), log, Progress(), Watcher())
    assert [one.epoch for one in more] == [*range(2, 2 + method.refit)]
    same = all(torch.equal(earlier[name], value) for name, value in method.state_dict().items())
    assert same == (best_epoch([*log, *more]).epoch == 1) == (before < 0)
