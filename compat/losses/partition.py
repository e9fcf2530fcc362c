"""Log partition functions over stored rows: what neighbour and ranking losses spend their time on."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Partition(NamedTuple):
    """Of N vectors over rows: log sum_j exp(z.g_j / tau), (N,); and its gradient, (N, d)."""

    log: Tensor
    slope: Tensor

    def split(self, *counts: int) -> list[Partition]:
        """Of the first vectors, of those after them, and so on."""
        return [Partition(*both) for both in zip(*(torch.split(one, list(counts)) for one in self), strict=True)]


@torch.no_grad()
def partition(vectors: Tensor, rows: Tensor, *, tau: float, left_out: Tensor | None = None) -> Partition:
    """Of (N, d) vectors z over (S, d) rows g; the gradient is the mean of rows, weighed by the exponentials, over tau.

    It is no part of what autograd goes back through.

    Args:
        left_out: (N', S) bool, rows that do not count for the first N' vectors. Where none does, the log is as low as
            numbers go, the gradient finite.
    """
    logits = (vectors / tau) @ rows.T
    if left_out is not None:
        logits[: len(left_out)].masked_fill_(left_out, torch.finfo(logits.dtype).min)
    shares = logits.softmax(dim=1)
    # The largest share is that of the largest logit: no second pass over exponentials.
    return Partition(logits.amax(dim=1) - shares.amax(dim=1).log(), shares @ rows / tau)
