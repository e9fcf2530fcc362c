"""Paired bootstrap over queries: all compared values of a query are drawn together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skipfill.store.checks import Interval

Values = NDArray[np.float64]
CHUNK = 2**22


def resampled_means(values: Values, resamples: int, seed: int) -> Values:
    """(R, M) means of M per-query values over R resamples of the Q queries, drawn with replacement.

    Args:
        values: (Q, M); a row stays together.
    """
    random = np.random.default_rng(seed)
    queries = len(values)
    parts = []
    step = max(1, CHUNK // queries)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        # How often each query was drawn; a product with these counts is a mean over the drawn queries.
        drawn = random.integers(0, queries, (rows, queries)) + np.arange(rows)[:, None] * queries
        counts = np.bincount(drawn.ravel(), minlength=rows * queries).reshape(rows, queries)
        parts.append(counts.astype(np.float64) @ values / queries)
    return np.concatenate(parts)


def interval(mean: float, resampled: Values, confidence: float) -> Interval:
    """The percentile interval (Efron and Tibshirani 1993, ch. 13) of a statistic from its resampled values.

    Args:
        confidence: two-sided, in (0, 1).
    """
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(mean), float(low), float(high))
