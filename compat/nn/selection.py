"""Choice of a hyperparameter by the one-standard-error rule."""

from __future__ import annotations

import math

from torch import Tensor


def simplest_near_best(hits: Tensor) -> int:
    """The first of C candidates whose mean is within a standard error of the best one's.

    Args:
        hits: (C, N) outcome of each candidate on the same N cases, higher is better; the simplest candidate first.

    Source: Breiman, Friedman, Olshen and Stone 1984, section 3.4.3, with the error of the paired difference.
    """
    shortfall = hits[hits.mean(dim=1).argmax()] - hits
    error = shortfall.std(dim=1, correction=0) / math.sqrt(hits.shape[1])
    return int((shortfall.mean(dim=1) <= error).nonzero()[0])
