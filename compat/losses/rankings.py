"""Keep the ranking that a stored vector gives over stored rows."""

from __future__ import annotations

import torch
from torch import Tensor

from skipfill.compat.gradients import with_gradient
from skipfill.compat.losses.partition import Partition


def ranking_divergence(compat: Tensor, stored: Tensor, found: Partition, known: Partition) -> Tensor:
    """KL( softmax(g.G / tau) || softmax(z.G / tau) ): what is near the stored vector g is to be near z as well.

    Args:
        compat: (A, d) new embeddings z in the old space, L2-normalised.
        stored: (A, d) stored vectors g of the same items, L2-normalised.
        found, known: of z, and of g, over stored rows G.

    Returns:
        Scalar mean over the items, as the Bregman divergence of the log partition function L that it is:
        L(z) - L(g) - (z - g).L'(g).
    """
    with torch.no_grad():
        losses = found.log - known.log - ((compat - stored) * known.slope).sum(dim=1)
        gradient = (found.slope - known.slope) / len(compat)
    return with_gradient(compat, losses.mean(), gradient)
