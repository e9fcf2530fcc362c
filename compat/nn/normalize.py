"""L2 normalisation."""

from __future__ import annotations

from torch import Tensor, nn


def unit(vectors: Tensor) -> Tensor:
    """Each row divided by its L2 norm."""
    return nn.functional.normalize(vectors, dim=-1)
