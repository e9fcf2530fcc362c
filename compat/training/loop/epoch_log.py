"""The log of a training, an entry for each epoch, and its best epoch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Epoch:
    """One epoch of a training.

    Attributes:
        epoch: number, from 1.
        step: steps since the beginning of the training.
        lr: learning rate of the last step.
        losses: mean of each loss term over the steps.
        validation: mean of each loss term over the items held out; empty without any.
        seconds: duration, validation included.
        items_per_second: training items, validation not included.
        threads: of torch, last chosen or given; 0 where an earlier release did not record it.
    """

    epoch: int
    step: int
    lr: float
    losses: dict[str, float]
    validation: dict[str, float]
    seconds: float
    items_per_second: float
    threads: int = 0

    @property
    def line(self) -> str:
        """One line of NDJSON, without a line break."""
        return json.dumps(asdict(self))


def best_epoch(log: Sequence[Epoch]) -> Epoch:
    """The epoch with the smallest sum of validation terms, the first of equals; without validation, the last epoch."""
    if not log[-1].validation:
        return log[-1]
    return min(log, key=lambda epoch: sum(epoch.validation.values()))


def patience_is_over(log: Sequence[Epoch], patience: int) -> bool:
    """Whether `patience` epochs or more have passed since the best one; never for a patience of 0."""
    return bool(patience and log) and log[-1].epoch - best_epoch(log).epoch >= patience
