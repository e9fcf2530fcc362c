"""A classifier whose logits are scaled cosines."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from skipfill.compat.nn.normalize import unit


class CosineClassifier(nn.Module):
    """Logits s * cos(x, W): (N, D) -> (N, C)."""

    def __init__(self, dim: int, classes: int, scale: float) -> None:
        super().__init__()
        weight = torch.empty(classes, dim)
        if not weight.is_meta:  # drawing numbers for a meta tensor loads torch's compiler, which takes 2 s
            weight.normal_().mul_(dim**-0.5)
        self.weight = nn.Parameter(weight)
        self.scale = scale

    def forward(self, embedding: Tensor, normalize: Callable[[Tensor], Tensor] = unit) -> Tensor:
        """Logits of (N, D) embeddings.

        Args:
            normalize: `unit`, or a function that differs from it by rounding only.
        """
        return self.scale * normalize(embedding) @ normalize(self.weight).T
