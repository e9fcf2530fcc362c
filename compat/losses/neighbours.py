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
        tau: temperature, > 0.

    Returns:
        Scalar mean over the items that have a row of their class in the sample; 0 when none has.

    Source: Goldberger et al. 2004 (NCA), with the neighbours taken from the stored gallery.
    """
    logits = (compat @ rows.T / tau).masked_fill(items[:, None] == row_items[None, :], -torch.inf)
    near = labels[:, None] == row_labels[None, :]
    usable = (near & (items[:, None] != row_items[None, :])).any(dim=1)
    if not bool(usable.any()):
        return compat.sum() * 0.0
    logits, near = logits[usable], near[usable]
    return (logits.logsumexp(dim=1) - logits.masked_fill(~near, -torch.inf).logsumexp(dim=1)).mean()
