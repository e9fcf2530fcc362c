"""One standard error of a mean over clusters: a smaller difference is too little to choose by."""

from __future__ import annotations

import numpy as np

from skipfill.compat.evaluation.statistics.tilted_bootstrap import Clusters

ROUNDING = 1e-12
"""Of a mean: one query that lost is within one standard error of none, exactly."""


def within_one_error(difference: Clusters) -> bool:
    """Whether a mean difference is at most its standard error. That of a single cluster is not known: it always is."""
    count = len(difference.sums)
    if count < 2:
        return True
    squares = ((difference.sums - difference.mean * difference.sizes) ** 2).sum() * count / (count - 1)
    return difference.mean <= float(np.sqrt(squares) / difference.sizes.sum()) + ROUNDING
