"""Neighbourhood component analysis against rows stored in the gallery."""

from __future__ import annotations

import torch
from torch import Tensor


def stored_neighbours(
    compat: Tensor, labels: Tensor, items: Tensor, rows: Tensor, row_labels: Tensor, row_items: Tensor, *, tau: float
) -> Tensor:
    """-log( sum_{j: y_j = y} exp(z.g_j / tau) / sum_j exp(z.g_j / tau) ) over stored rows j, the item's own left out.

    Args:
        compat: (B, d) new embeddings in the old space, L2-normalised.
        labels: (B,) int64.
        items: (B,) index of each item, to recognise its own stored row.
        rows: (S, d) stored vectors, L2-normalised.
        row_labels: (S,) int64, -1 for rows of no training class: they only repel.
        row_items: (S,) item index of each row, or -1.
        tau: temperature, at least 0.025, or float32 cannot hold exp(-2 / tau).

    Returns:
        Scalar mean over the items that have a row of their class in the sample; 0 when none has.

    Source: Goldberger et al. 2004 (NCA), with the neighbours taken from the stored gallery.
    """
    # A cosine is at most 1, so that no exponent is above 0: plain sums, at half the cost of two logsumexp.
    weights = torch.exp((compat @ rows.T - 1) / tau)
    weights = weights.masked_fill(items[:, None] == row_items[None, :], 0.0)
    near = (weights * (labels[:, None] == row_labels[None, :])).sum(dim=1)
    usable = near > 0
    if not bool(usable.any()):
        return compat.sum() * 0.0
    return (weights.sum(dim=1)[usable].log() - near[usable].log()).mean()
