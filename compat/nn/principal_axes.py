"""Principal axes of a set of vectors."""

from __future__ import annotations

import torch
from torch import Tensor


def principal_axes(vectors: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` axes along which (N, F) vectors have the largest mean square, which is the variance if centred.

    Computed in double precision, because LAPACK may find no axes of a float32 matrix that lacks full rank.

    Returns:
        Mean squares, (count,), ascending, and axes of length 1, (F, count), a column for each.
    """
    exact = vectors.double()
    squares, axes = torch.linalg.eigh(exact.T @ exact / len(exact))
    return squares[-count:].to(vectors.dtype), axes[:, -count:].to(vectors.dtype).contiguous()
