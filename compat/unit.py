"""Vectors of length one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

SHORTEST = 1e-12  # what is shorter is divided by this, so zeros stay zeros


def unit(vectors: Tensor) -> Tensor:
    """Each row, (..., d), divided by its L2 norm.

    As `torch.nn.functional.normalize`, whose gradient autograd puts together from three times as many operations.
    """
    found: Tensor = _Unit.apply(vectors)  # type: ignore[no-untyped-call]
    return found


class _Unit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor) -> Tensor:
        lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True).clamp_(min=SHORTEST)
        found: Tensor = vectors / lengths
        ctx.save_for_backward(found, lengths)
        return found

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        found, lengths = ctx.saved_tensors
        along = (slopes[0] * found).sum(dim=-1, keepdim=True)
        across: Tensor = torch.addcmul(slopes[0], found, along, value=-1) / lengths
        return across
