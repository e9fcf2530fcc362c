"""A training by `fit` itself, small and exactly repeatable; also a script for torchrun."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from skipfill.compat.encoders.encoder import Encoder
from skipfill.compat.encoders.prepared import Prepared
from skipfill.compat.methods.batch import GallerySample, OldSpace
from skipfill.compat.methods.method import MethodContext
from skipfill.compat.methods.registry import TRAINED
from skipfill.compat.nn.normalize import unit
from skipfill.compat.training.data.training_data import TrainingData, UnlabelledItems
from skipfill.compat.training.loop.checkpoint import Checkpoints
from skipfill.compat.training.loop.distributed import connected
from skipfill.compat.training.loop.epoch_log import Epoch
from skipfill.compat.training.loop.fit import fit
from skipfill.compat.training.loop.schedule import Schedule, Watcher
from skipfill.compat.training.loop.task import Task
from skipfill.store.storage.object_store import ObjectStore

ITEMS, INPUTS, CLASSES, OLD, POOL, ALIGN = 61, 6, 5, 4, 140, 9


@dataclass(frozen=True)
class Settings:
    inputs: int = INPUTS


class Noisy(Encoder):
    """Two layers, no dropout, no batch statistics; noise for augmentation, and a parameter that nothing depends on."""

    takes = "vector"
    settings_type = Settings
    width = 12

    def __init__(self, during: Callable[[Tensor], Any], noise: float) -> None:
        super().__init__()
        self.noise = noise
        self.settings = Settings()
        self.layers = nn.Sequential(nn.Linear(INPUTS, 16), nn.Tanh(), nn.Linear(16, self.width))
        self.unused = nn.Linear(2, 2)
        self.during = during

    def augment(self, batch: Tensor) -> Tensor:
        return batch + self.noise * torch.randn_like(batch)

    def forward(self, batch: Tensor) -> Tensor:
        self.during(batch)
        features: Tensor = self.layers(batch)
        return features


def data(items: int = ITEMS, validation: Tensor | None = None, noise: float = 1.0) -> TrainingData:
    """Items of five classes, each with a stored vector; some stored rows; unlabelled items."""
    random = torch.Generator().manual_seed(3)
    labels = torch.arange(items) % CLASSES
    centres = torch.randn(CLASSES, INPUTS, generator=random)
    inputs = centres[labels] + noise * torch.randn(items, INPUTS, generator=random)
    old = unit(torch.randn(items, OLD, generator=random))
    pool = GallerySample(
        unit(torch.randn(POOL, OLD, generator=random)), torch.arange(POOL) % CLASSES, torch.arange(POOL) - 20
    )
    align = torch.randn(ALIGN, INPUTS, generator=random)
    return TrainingData(
        Prepared(inputs.numpy()),
        labels,
        old,
        torch.ones(items, dtype=torch.bool),
        pool,
        unlabelled=UnlabelledItems(
            unit(torch.randn(ALIGN, OLD, generator=random)), torch.arange(ALIGN) % 3 - 1, Prepared(align.numpy())
        ),
        validation=validation,
    )


def schedule(**changed: Any) -> Schedule:
    given = {"epochs": 3, "batch": 20, "lr": 3e-3, "weight_decay": 1e-4, "sample": 30, "pairs": 10, "seed": 7}
    return Schedule(**{**given, "precision": "f32", **changed})


@dataclass(frozen=True)
class Outcome:
    """Attributes:
    log: of all epochs.
    weights: at the end.
    gradients: of the last step; Adam's steps do not tell a gradient from twice that gradient.
    """

    log: list[Epoch]
    weights: dict[str, Tensor]
    gradients: dict[str, Tensor]


def trained(
    folder: Path,
    how: Schedule,
    given: TrainingData,
    method: str = "gallery",
    watcher: Watcher = Watcher(),
    during: Callable[[Tensor], Any] = lambda batch: None,
    each_epoch: Callable[[Epoch, dict[str, Tensor]], None] = lambda epoch, weights: None,
    noise: float = 0.1,
) -> Outcome:
    """Train on `given` with a checkpoint in `folder`.

    Args:
        during: called with what the encoder encodes.
        each_epoch: called with each epoch's weights.
        noise: of the augmentation.
    """
    torch.manual_seed(1)
    assert given.pool is not None
    old = OldSpace(OLD, torch.randn(CLASSES, OLD), torch.full((CLASSES,), 8), given.pool)
    encoder = Noisy(during, noise)
    made = TRAINED[method](MethodContext(encoder.width, CLASSES, 0, old), TRAINED[method].settings_type())
    both = nn.ModuleDict({"encoder": encoder, "method": made})

    def epoch(done: Epoch) -> None:
        each_epoch(done, _copied(both))
        watcher.epoch(done)

    checkpoints = Checkpoints(ObjectStore(folder), "training/x/checkpoint.safetensors", "recipe")
    with connected(how.device) as processes:
        task = Task(encoder, made, given, how, checkpoints, processes)
        log = fit(task, Watcher(watcher.step, epoch))
    gradients = {name: one.grad.clone() for name, one in both.named_parameters() if one.grad is not None}
    return Outcome(log, _copied(both), gradients)


def _copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def furthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest difference between two sets of weights."""
    assert one.keys() == other.keys()
    return max(float(np.abs(one[name].double().numpy() - other[name].double().numpy()).max(initial=0)) for name in one)


def in_any_number_of_processes(method: str, batch: int, accumulate: int) -> dict[str, Tensor]:
    """Weights and gradients of a training with everything on."""
    with tempfile.TemporaryDirectory() as folder:
        how = schedule(batch=batch, accumulate=accumulate)
        outcome = trained(Path(folder), how, data(validation=torch.arange(0, ITEMS, 7)), method)
    gradients = {f"gradient of {name}": value for name, value in outcome.gradients.items()}
    return {**outcome.weights, **gradients}


# Batches of 10 or 11, and of 17 or 18.
CASES = {"uneven": ("gallery", 11, 1), "in parts": ("bct", 20, 2), "rows in parts": ("gallery", 20, 2)}


def main() -> None:
    for name, case in CASES.items():
        save_file(in_any_number_of_processes(*case), Path(sys.argv[1]) / f"{name} {os.environ['RANK']}.safetensors")
