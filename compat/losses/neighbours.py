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
    logits = (compat / tau) @ rows.T
    logits[_equal(items, row_items)] = -torch.inf
    # Few of the B x S pairs are of one class: all that is done to them alone is as good as free.
    item, row = _equal(labels, row_labels)
    near, usable = _logsumexp(logits[item, row], item, len(labels))
    if not bool(usable.any()):
        return compat.sum() * 0.0
    return (logits.logsumexp(dim=1)[usable] - near).mean()


def _equal(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """The pairs (i, j) for which left_i = right_j, by i: their two places, without comparing all with all."""
    ordered, order = right.sort()
    first = torch.searchsorted(ordered, left)
    counts = torch.searchsorted(ordered, left, right=True) - first
    i = torch.arange(len(left), device=left.device).repeat_interleave(counts)
    start = (counts.cumsum(0) - counts)[i]
    return i, order[first[i] + torch.arange(len(i), device=left.device) - start]


def _logsumexp(values: Tensor, group: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """log sum exp of the values of each group that has any above -inf, and which groups these are, (groups,) bool."""
    top = values.new_full((groups,), -torch.inf).scatter_reduce(0, group, values.detach(), "amax")
    usable = top > -torch.inf
    sums = values.new_zeros(groups).index_add(0, group, (values - top.masked_fill(~usable, 0.0)[group]).exp())
    return top[usable] + sums[usable].log(), usable
