"""Log partition functions over stored rows: what neighbour and ranking losses spend their time on."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

TINY = 1e-30  # a sum of no exponentials divides nothing


class Partition(NamedTuple):
    """Of N vectors over rows: log sum_j exp(z.g_j / tau), (N,), -inf over no rows; and its gradient, (N, d)."""

    log: Tensor
    slope: Tensor


def partition(vectors: Tensor, rows: Tensor, *, tau: float, left_out: Tensor | None = None) -> Partition:
    """Of (N, d) vectors z over (S, d) rows g; the gradient is the mean of rows, weighed by the exponentials, over tau.

    Args:
        left_out: (N, S) bool, rows that do not count.
    """
    logits = (vectors / tau) @ rows.T
    if left_out is not None:
        logits.masked_fill_(left_out, -torch.inf)
    largest = logits.amax(dim=1, keepdim=True).nan_to_num_(neginf=0.0)
    each = logits.sub_(largest).exp_()
    total = each.sum(dim=1, keepdim=True)
    return Partition((largest + total.log())[:, 0], each @ rows / (tau * total.clamp_(min=TINY)))
