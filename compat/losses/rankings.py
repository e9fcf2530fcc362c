"""Keep the ranking that a stored vector gives over other stored rows."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax


def ranking_divergence(
    compat: Tensor, stored: Tensor, rows: Tensor, itself: Tensor, *, tau: float, target_tau: float
) -> Tensor:
    """KL( softmax(g.G / target_tau) || softmax(z.G / tau) ), the item's own stored row left out of both.

    Leaving the own row out makes the target the item's neighbourhood, not the item: the noise of its own stored
    vector drops out, and what remains is shared with the rows that a query should find.

    Args:
        compat: (A, d) new embeddings in the old space, L2-normalised.
        stored: (A, d) stored vectors of the same items, L2-normalised.
        rows: (S, d) stored vectors, L2-normalised.
        itself: (A,) position of each item's own row among `rows`, or -1.
        tau, target_tau: temperatures, > 0.

    Returns:
        Scalar mean over the items.
    """
    own = itself[:, None] == torch.arange(len(rows), device=rows.device)[None, :]
    target = log_softmax((stored @ rows.T / target_tau).masked_fill(own, -1e4), dim=1)
    found = log_softmax((compat @ rows.T / tau).masked_fill(own, -1e4), dim=1)
    return kl_div(found, target, log_target=True, reduction="batchmean")
