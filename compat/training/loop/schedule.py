"""Length and pace of a training, and what is called as it goes on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from skipfill.compat.training.loop.epoch_log import Epoch


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Attributes:
        epochs: passes over the items.
        batch: items per step, at most: an epoch's batches are of equal size, give or take one.
        lr: peak learning rate of AdamW; rises over the first tenth, then falls as a cosine to zero.
        weight_decay: of AdamW.
        sample: stored rows drawn per step, for methods that use them.
        pairs: items drawn per step with their stored vectors: unlabelled ones when there are such, and as many that are
            trained on, for methods that need those.
        seed: decides weights, order and augmentation.
        precision: `bf16` or `f32` for the encoder; the head and the losses are always f32.
        accumulate: parts that a batch is encoded in, one after the other, so that memory holds one of them.
        patience: epochs without a better validation loss after which training ends; 0 for never.
        device: `cpu` or `cuda`.
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


@dataclass(frozen=True)
class Step:
    """What a progress bar shows after a step: epoch (from 1), items done in this step, losses so far this epoch."""

    epoch: int
    items: int
    losses: dict[str, float]


@dataclass(frozen=True)
class Watcher:
    """Called as training goes on: `step` after each step, `epoch` when one is done and saved."""

    step: Callable[[Step], None] = lambda step: None
    epoch: Callable[[Epoch], None] = lambda epoch: None


def learning_rate(step: int, total: int) -> float:
    warm = max(1, total // 10)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))
