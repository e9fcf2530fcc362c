"""Keep the ranking that a stored vector gives over stored rows."""

from __future__ import annotations

import torch
from torch import Tensor

from skipfill.compat.gradients import with_gradient
from skipfill.compat.losses.partition import partition


def ranking_divergence(compat: Tensor, stored: Tensor, rows: Tensor, *, tau: float) -> Tensor:
    """KL( softmax(g.G / tau) || softmax(z.G / tau) ): what is near the stored vector g is to be near z as well.

    Args:
        compat: (A, d) new embeddings z in the old space, L2-normalised.
        stored: (A, d) stored vectors g of the same items, L2-normalised.
        rows: (S, d) stored vectors G, L2-normalised.
        tau: temperature, > 0.

    Returns:
        Scalar mean over the items, as the Bregman divergence of the log partition function L that it is:
        L(z) - L(g) - (z - g).L'(g).
    """
    with torch.no_grad():
        logs, slopes = partition(torch.cat([compat, stored]), rows, tau=tau)
        (found, known), (slope, known_slope) = logs.chunk(2), slopes.chunk(2)
        losses = found - known - ((compat - stored) * known_slope).sum(dim=1)
        gradient = (slope - known_slope) / len(compat)
    return with_gradient(compat, losses.mean(), gradient)
