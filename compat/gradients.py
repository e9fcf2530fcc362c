"""Functions with their gradients written down, where autograd would go through more, and larger, matrices."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

TINY = 1e-12  # length below which a vector is not made longer


def normalized(vectors: Tensor) -> Tensor:
    """`unit` of (..., d) vectors, for where a step takes several: a third of the operations on the way back.

    The gradient is that of `unit` but for rounding, by which models of other methods would not be what they were.
    """
    return cast(Tensor, _Normalized.apply(vectors))  # type: ignore[no-untyped-call]


def largest_share(logits: Tensor) -> Tensor:
    """The largest of the softmax of (N, C) logits: (N, 1)."""
    return cast(Tensor, _LargestShare.apply(logits))  # type: ignore[no-untyped-call]


def with_gradient(vectors: Tensor, loss: Tensor, gradient: Tensor) -> Tensor:
    """A scalar loss of (N, d) vectors, whose (N, d) gradient is known."""
    return cast(Tensor, _WithGradient.apply(vectors, loss, gradient))  # type: ignore[no-untyped-call]


def of_first_and_last(
    features: Tensor, until: int, since: int, first: nn.Linear, last: nn.Linear
) -> tuple[Tensor, Tensor]:
    """`first` of features[:until], and `last` of features[since:], of (N, F): they may share some."""
    weights = first.weight, first.bias, last.weight, last.bias
    return cast(tuple[Tensor, Tensor], _FirstAndLast.apply(features, until, since, *weights))  # type: ignore[no-untyped-call]


class _Normalized(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor) -> Tensor:
        lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True).clamp_min_(TINY)
        units: Tensor = vectors / lengths
        ctx.save_for_backward(units, lengths)
        return units

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slopes: Tensor) -> Tensor:
        units, lengths = ctx.saved_tensors
        along = (slopes * units).sum(dim=-1, keepdim=True)
        return torch.addcmul(slopes, units, along, value=-1).div_(lengths)


class _LargestShare(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> Tensor:
        shares = logits.softmax(dim=1)
        largest: Tensor
        largest, places = shares.max(dim=1, keepdim=True)
        ctx.save_for_backward(shares, largest, places)
        return largest

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slopes: Tensor) -> Tensor:
        shares, largest, places = ctx.saved_tensors
        up = slopes * largest
        back: Tensor = (shares * -up).scatter_add_(1, places, up)
        return back


class _WithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, loss: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return loss.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        return slope * ctx.saved_tensors[0], None, None


class _FirstAndLast(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        until: int,
        since: int,
        first: Tensor,
        first_bias: Tensor,
        last: Tensor,
        last_bias: Tensor,
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(features, first, last)
        ctx.until, ctx.since = until, since
        return torch.addmm(first_bias, features[:until], first.T), torch.addmm(last_bias, features[since:], last.T)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_first: Tensor, of_last: Tensor) -> tuple[Tensor | None, ...]:
        features, first, last = ctx.saved_tensors
        back = None
        if ctx.needs_input_grad[0]:
            back = torch.empty_like(features)
            back[: ctx.since] = 0
            torch.mm(of_last, last, out=back[ctx.since :])
            back[: ctx.until].addmm_(of_first, first)
        gradients = [back, None, None, of_first.T @ features[: ctx.until], of_first.sum(dim=0)]
        if not ctx.needs_input_grad[5]:
            return *gradients, None, None
        return *gradients, of_last.T @ features[ctx.since :], of_last.sum(dim=0)
