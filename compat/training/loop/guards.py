"""Stops a training with a clear error: numbers that are not finite, or too little memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from skipfill.store.errors import Advice, SkipfillError, reason

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "status_alloc_failed")


def refuse_infinite(losses: dict[str, float], lr: float, where: str) -> None:
    """Raise `SkipfillError` when a loss is NaN or infinite."""
    if not all(map(math.isfinite, losses.values())):
        raise SkipfillError(f"training: expected finite losses, found {losses} in {where}", _slower(lr))


def refuse_broken_weights(weights: dict[str, Tensor], lr: float, epoch: int) -> None:
    """Raise `SkipfillError` when a weight is not finite. The losses do not show the effect of an epoch's last step."""
    for name, value in weights.items():
        if not bool(torch.isfinite(value).all()):
            raise SkipfillError(
                f"training: expected finite weights, found NaN or infinity in {name} after epoch {epoch}", _slower(lr)
            )


@contextmanager
def memory_explained(batch: int, accumulate: int) -> Iterator[None]:
    """Turn a failed allocation into a `SkipfillError` that suggests smaller batches."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if not isinstance(error, MemoryError) and not any(words in str(error).lower() for words in OUT_OF_MEMORY):
            raise
        parts = f" in {accumulate} parts" if accumulate > 1 else ""
        raise SkipfillError(
            f"training: expected memory for batches of {batch} items{parts}, found too little ({reason(error)})",
            Advice("smaller_batches", accumulate=2 * accumulate, batch=max(2, batch // 2)),
        ) from error


def _slower(lr: float) -> Advice:
    """Advice to try a third of the learning rate."""
    return Advice("lower_lr", lr=f"{lr / 3:.2g}")
