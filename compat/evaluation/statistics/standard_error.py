"""The one-standard-error rule for a mean over clusters: a smaller difference is too little to choose by."""

from __future__ import annotations

import numpy as np

from skipfill.compat.evaluation.statistics.tilted_bootstrap import Clusters

ROUNDING = 1e-12
"""Tolerance of a mean: if a single query differs, mean and standard error are equal but for rounding."""


def within_one_error(difference: Clusters) -> bool:
    """Whether a mean difference is at most its standard error; True for a single cluster, which has none."""
    count = len(difference.sums)
    if count < 2:
        return True
    squares = ((difference.sums - difference.mean * difference.sizes) ** 2).sum() * count / (count - 1)
    return difference.mean <= float(np.sqrt(squares) / difference.sizes.sum()) + ROUNDING
