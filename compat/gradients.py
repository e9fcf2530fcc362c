"""Functions with their gradients written down, where autograd would go through more, and larger, matrices."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

TINY = 1e-12  # length below which a vector is not made longer


def unit(vectors: Tensor) -> Tensor:
    """Each row of (..., d) vectors divided by its L2 norm."""
    return cast(Tensor, _Unit.apply(vectors))  # type: ignore[no-untyped-call]


def with_gradient(vectors: Tensor, losses: Tensor, gradients: Tensor) -> Tensor:
    """The (N,) losses of (N, d) vectors, whose (N, d) gradients are known."""
    return cast(Tensor, _WithGradient.apply(vectors, losses, gradients))  # type: ignore[no-untyped-call]


def of_some_and_of_all(features: Tensor, count: int, some: nn.Linear, every: nn.Linear) -> tuple[Tensor, Tensor]:
    """`some` of the first `count` of (N, F) features, and `every` of them all: (count, D) and (N, D')."""
    weights = some.weight, some.bias, every.weight, every.bias
    return cast(tuple[Tensor, Tensor], _SomeAndAll.apply(features, count, *weights))  # type: ignore[no-untyped-call]


class _Unit(torch.autograd.Function):
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


class _WithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, losses: Tensor, gradients: Tensor) -> Tensor:
        ctx.save_for_backward(gradients)
        return losses.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor, None, None]:
        return slopes[:, None] * ctx.saved_tensors[0], None, None


class _SomeAndAll(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: Tensor, count: int, some: Tensor, some_bias: Tensor, every: Tensor, every_bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(features, some, every)
        return torch.addmm(some_bias, features[:count], some.T), torch.addmm(every_bias, features, every.T)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_some: Tensor, of_all: Tensor) -> tuple[Tensor | None, ...]:
        features, some, every = ctx.saved_tensors
        back = None
        if ctx.needs_input_grad[0]:
            back = of_all @ every
            back[: len(of_some)].addmm_(of_some, some)
        gradients = [back, None, of_some.T @ features[: len(of_some)], of_some.sum(dim=0)]
        if not ctx.needs_input_grad[4]:
            return *gradients, None, None
        return *gradients, of_all.T @ features, of_all.sum(dim=0)
