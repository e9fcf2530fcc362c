"""Principal axes of a set of vectors."""

from __future__ import annotations

import torch
from torch import Tensor


def principal_axes(vectors: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` axes along which (N, F) vectors have the largest mean square: their variances where they are centred.

    Computed in double precision: of float32 matrices that are not of full rank, LAPACK may find none.

    Returns:
        Mean squares, (count,), ascending, and axes of length 1, (F, count), one a column.
    """
    exact = vectors.double()
    squares, axes = torch.linalg.eigh(exact.T @ exact / len(exact))
    return squares[-count:].to(vectors.dtype), axes[:, -count:].to(vectors.dtype).contiguous()
