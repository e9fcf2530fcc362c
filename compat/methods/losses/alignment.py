"""Pull each new embedding onto a given target direction."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cosine_similarity


def cosine_alignment(vectors: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
    """mean(1 - cos(x_i, t_i)), in [0, 2], over the rows where `mask` holds (all by default).

    Args:
        vectors: (B, d).
        targets: (B, d); neither needs to be normalised.
        mask: (B,) bool.

    Returns:
        Scalar; 0 when the mask is empty.
    """
    distance = 1 - cosine_similarity(vectors, targets, dim=-1)
    if mask is None:
        return distance.mean()
    return (distance * mask).sum() / mask.sum().clamp(min=1)
