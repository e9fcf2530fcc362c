"""Recall of an index for one set of queries at any search effort."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skipfill.compat.evaluation.index.hnsw import Hnsw
from skipfill.compat.evaluation.index.local_dimension import local_dimension
from skipfill.compat.progress import Progress
from skipfill.store.parquet.vectors import Matrix

# Of float32, as a share of the norms' product.
ROUNDING = 2.0**-23


class Answers:
    """Answers of an index to Q queries, beside the exact ones; every effort is run once.

    Args:
        queries: (Q, D) float32, of norm 1 under the cosine.
        k: rows asked for.
        near: exact neighbours for the local dimension; a few more than k where there are, as float32 misplaces some.
        radius: the largest norm of an indexed row.
    """

    def __init__(self, index: Hnsw, queries: Matrix, k: int, near: int, radius: float, progress: Progress) -> None:
        self._index = index
        self._queries = queries
        self._k = k
        self._progress = progress
        lengths = np.sqrt(np.einsum("qd,qd->q", queries, queries, dtype=np.float64))[:, None] * radius
        exact = -np.sort(-index.scores(queries, index.exact(queries, near)), axis=1)
        # No index can tell apart rows that differ only by the rounding of their coordinates.
        self._bar = exact[:, k - 1 : k] - ROUNDING * lengths
        # The inner product as half a squared distance on a sphere: all rows lifted to the norm of the longest by a
        # coordinate that queries lack (Bachrach et al. 2014). Under the cosine it is that of the vectors themselves.
        gaps = 1 - exact / lengths
        self.dimension = local_dimension(np.sqrt(np.where(gaps > 2 * ROUNDING, gaps, 0)))
        self._found: dict[int, NDArray[np.int64]] = {}
        progress.advance(len(queries))

    def found(self, effort: int) -> NDArray[np.int64]:
        """(Q,) count of those of the k rows returned that are as near as the k-th exact one, at efSearch `effort`."""
        if effort not in self._found:
            rows = self._index.search(self._queries, self._k, effort)
            self._found[effort] = (self._index.scores(self._queries, rows) >= self._bar).sum(axis=1)
            self._progress.advance(len(self._queries))
        return self._found[effort]

    def recall(self, effort: int) -> NDArray[np.float64]:
        """(Q,) recall@k, 0 to 1."""
        return self.found(effort) / self._k

    def least_effort(self, total: int, most: int) -> int | None:
        """The smallest efSearch from k to `most` that finds `total` rows, by bisection; None if `most` does not.

        The effort returned was run. Recall is nearly but not strictly rising in the effort: a smaller one may do by
        chance.
        """
        low, high = self._k - 1, min(self._k, most)
        while self.found(high).sum() < total:
            if high >= most:
                return None
            low, high = high, min(2 * high, most)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.found(middle).sum() >= total else (middle, high)
        return high
