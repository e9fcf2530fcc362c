"""Paired bootstrap over clusters: all values of a query are drawn together, and all queries of a cluster too."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skipfill.store.checks.report import Interval

Values = NDArray[np.float64]
CHUNK = 2**22
"""Draws of clusters that are made at once; an array of them takes 32 MB."""


def resampled_means(values: Values, resamples: int, seed: int, clusters: NDArray[np.int64] | None = None) -> Values:
    """(R, M) means of M per-query values over R resamples of the clusters, drawn with replacement.

    Args:
        values: (Q, M); a row stays together.
        clusters: (Q,) number of the cluster of each query; None if each query is its own cluster.
    """
    random = np.random.default_rng(seed)
    sums, sizes = values, np.ones(len(values))
    if clusters is not None:
        _, places = np.unique(clusters, return_inverse=True)
        sizes = np.bincount(places).astype(float)
        sums = np.stack([np.bincount(places, weights=column) for column in values.T], axis=1)
    count = len(sums)
    parts = []
    step = max(1, CHUNK // count)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        # Number of draws of each cluster. A product with these counts is a sum over the drawn clusters.
        drawn = random.integers(0, count, (rows, count)) + np.arange(rows)[:, None] * count
        counts = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)
        parts.append(counts @ sums / (counts @ sizes)[:, None])
    return np.concatenate(parts)


def interval(mean: float, resampled: Values, confidence: float) -> Interval:
    """The percentile interval (Efron and Tibshirani 1993, ch. 13) of a statistic from its resampled values.

    Args:
        confidence: two-sided, in (0, 1).
    """
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(mean), float(low), float(high))
