"""Summaries of the matrix of a sequence of models. This file works on arrays alone.

M is (T, T): M[i, j] is the mean of a metric, higher is better, of queries by model i on a gallery by model j. Only the
lower triangle counts: no model is asked for a view onto a later space.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def average_compatibility(matrix: Matrix) -> float | None:
    """AC: share of the pairs i > j with M[i, j] >= M[j, j], in [0, 1]; None for one model.

    Ties count as compatible: the gallery is searched as well as before.

    Source: CL2R, Biondi et al. 2023; one public code counts ties as violations.
    """
    later, earlier = np.tril_indices(len(matrix), -1)
    if len(later) == 0:
        return None
    return float((matrix[later, earlier] >= matrix[earlier, earlier]).mean())


def average_multimodel(matrix: Matrix) -> float:
    """AM: mean of the lower triangle with the diagonal, in the metric's own range.

    Source: CL2R, Biondi et al. 2023.
    """
    return float(matrix[np.tril_indices(len(matrix))].mean())


def backward(matrix: Matrix) -> float | None:
    """Mean over i < T of M[T, i] - M[i, i]: the gain of the last model on earlier galleries; None for one model."""
    if len(matrix) == 1:
        return None
    return float((matrix[-1, :-1] - np.diag(matrix)[:-1]).mean())


def forward(matrix: Matrix) -> float | None:
    """Mean over i > 1 of M[i, i-1] - M[i, i]: the loss on the previous model's gallery; None for one model."""
    if len(matrix) == 1:
        return None
    return float((np.diag(matrix, -1) - np.diag(matrix)[1:]).mean())
