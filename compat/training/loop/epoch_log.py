"""What is known of each epoch of a training: one line of its log; and which epoch was the best."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Epoch:
    """Attributes:
    epoch: from 1.
    step: steps since the beginning.
    lr: learning rate of its last step.
    losses: mean of each term over its steps.
    validation: mean of each term over the items held out; empty without any.
    seconds: that it took, its validation included.
    items_per_second: trained on.
    """

    epoch: int
    step: int
    lr: float
    losses: dict[str, float]
    validation: dict[str, float]
    seconds: float
    items_per_second: float

    @property
    def line(self) -> str:
        """One line of NDJSON, without its end."""
        return json.dumps(asdict(self))


def best_epoch(log: Sequence[Epoch]) -> Epoch:
    """The one with the smallest sum of validation terms, the first of equals; the last one without validation."""
    if not log[-1].validation:
        return log[-1]
    return min(log, key=lambda one: sum(one.validation.values()))


def patience_is_over(log: Sequence[Epoch], patience: int) -> bool:
    """Whether the last `patience` epochs have all been worse than the best; never for 0."""
    return bool(patience and log) and log[-1].epoch - best_epoch(log).epoch >= patience
