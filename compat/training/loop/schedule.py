"""Length and pace of a training, and the functions that are called as it goes on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from skipfill.compat.training.data.coverage import Coverage
from skipfill.compat.training.loop.epoch_log import Epoch


@dataclass(frozen=True)
class Schedule:
    """Length and pace of a training.

    Attributes:
        epochs: passes over the items.
        batch: items per step at most. The batches of an epoch differ by one item at most.
        lr: peak learning rate of AdamW, see `learning_rate`.
        weight_decay: of AdamW.
        sample: stored rows drawn per step, for methods that use them.
        pairs: items drawn per step with their stored vectors: unlabelled ones, and as many training items for methods
            that need those.
        seed: decides weights, order and augmentation.
        precision: of the encoder, `bf16` or `f32`. Head and losses are always f32.
        accumulate: parts that a batch is encoded in, one after the other, so that memory holds one at a time.
        patience: epochs without a better validation loss after which training ends; 0 for never.
        device: `cpu` or `cuda`.
        threads: of torch; 0 to choose them by timing, unless OMP_NUM_THREADS is set.
    """

    epochs: int
    batch: int
    lr: float
    weight_decay: float
    sample: int
    pairs: int
    seed: int
    precision: str
    accumulate: int = 1
    patience: int = 0
    device: str = "cpu"
    threads: int = 0


@dataclass(frozen=True)
class Step:
    """One step of a training.

    Attributes:
        epoch: number, from 1.
        items: of the step.
        losses: mean of each term over the epoch's steps, as last read; not read in every step.
    """

    epoch: int
    items: int
    losses: dict[str, float]


@dataclass(frozen=True)
class Watcher:
    """Functions that are called as a training goes on: `step` after each step, `epoch` when an epoch is saved.

    Attributes:
        joined: called when the gallery is joined with the items, for a model that will search that gallery.
        resumed: called before the first step when an interrupted training is resumed: with the number of epochs done,
            and of all epochs.
    """

    step: Callable[[Step], None] = lambda step: None
    epoch: Callable[[Epoch], None] = lambda epoch: None
    joined: Callable[[Coverage], None] = lambda coverage: None
    resumed: Callable[[int, int], None] = lambda done, total: None


def learning_rate(step: int, total: int) -> float:
    """Share of the peak rate at a step, from 0: it rises over the first tenth, then falls to zero as a cosine."""
    warm = max(1, total // 10)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))
