"""Log partition functions over stored rows: what neighbour and ranking losses spend their time on."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

TINY = 1e-30  # a sum of no exponentials divides nothing


class Exponentials(NamedTuple):
    """exp(z.G / tau - largest), (..., N, S); their sum over the rows, (..., N); and largest, (..., N)."""

    each: Tensor
    total: Tensor
    largest: Tensor

    @property
    def log_partition(self) -> Tensor:
        """log sum_j exp(z.g_j / tau), (..., N); -inf over no rows."""
        return self.largest + self.total.log()


def exponentials(vectors: Tensor, rows: Tensor, tau: float, left_out: Tensor | None = None) -> Exponentials:
    """Of (..., N, d) vectors z over (S, d) rows G; those `left_out`, (N, S) bool, count as nothing."""
    logits = (vectors / tau) @ rows.T
    if left_out is not None:
        logits.masked_fill_(left_out, -torch.inf)
    largest = logits.amax(dim=-1).nan_to_num(neginf=0.0)
    each = logits.sub_(largest[..., None]).exp_()
    return Exponentials(each, each.sum(dim=-1), largest)


def log_partition(vectors: Tensor, rows: Tensor, *, tau: float, left_out: Tensor | None = None) -> Tensor:
    """log sum_j exp(z.g_j / tau) of (..., N, d) vectors over (S, d) rows, which are constants: (..., N).

    The gradient is the mean of the rows, weighed by the exponentials, over tau. Autograd would keep and pass through
    several (N, S) matrices for it; this keeps one, and needs two thirds of the time.

    Args:
        left_out: (N, S) bool, rows that do not count; -inf where that leaves none.
    """
    found: Tensor = _LogPartition.apply(vectors, rows, tau, left_out)  # type: ignore[no-untyped-call]
    return found


class _LogPartition(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, rows: Tensor, tau: float, left_out: Tensor | None) -> Tensor:
        found = exponentials(vectors, rows, tau, left_out)
        ctx.save_for_backward(found.each, found.total, rows)
        ctx.tau = tau
        return found.log_partition

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None, None]:
        each, total, rows = ctx.saved_tensors
        share = slopes[0] / (ctx.tau * total.clamp(min=TINY))
        return (each @ rows) * share[..., None], None, None, None
