"""Gradient descent for the maps that have no closed form, over the pairs in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

from skipfill.compat.methods.adapters.pairs import PairSample

BATCH = 512


def descend(
    parameters: Sequence[Parameter],
    loss: Callable[[PairSample], Tensor],
    sample: PairSample,
    *,
    epochs: int,
    lr: float,
    seed: int,
) -> None:
    """Minimise a loss over batches of pairs with Adam; the learning rate falls to 0 along a cosine.

    The same seed gives the same result.

    Args:
        parameters: changed in place. They have no gradient afterwards.
    """
    batch = min(BATCH, len(sample))
    steps = epochs * (len(sample) // batch)
    optimizer = torch.optim.Adam(parameters, lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    random = torch.Generator().manual_seed(seed)
    for parameter in parameters:
        parameter.requires_grad_(True)
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(sample), generator=random), batch):
            if len(rows) == batch:
                optimizer.zero_grad()
                loss(sample.at(rows)).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
    for parameter in parameters:
        parameter.requires_grad_(False)
        parameter.grad = None
