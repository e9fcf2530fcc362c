"""Recall of an index for one set of queries at any search effort."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skipfill.compat.evaluation.index.hnsw import Hnsw
from skipfill.compat.evaluation.index.local_dimension import local_dimension
from skipfill.compat.progress import Progress
from skipfill.store.parquet.vectors import Matrix

ROUNDING = 2.0**-23
"""Rounding of a float32 inner product, as a share of the product of the two norms."""


class Answers:
    """Answers of an index to Q queries, compared with the exact ones. Each effort is searched once.

    Args:
        queries: (Q, D) float32, of norm 1 under the cosine.
        k: rows asked for.
        near: number of exact neighbours to find, for the local dimension and the k-th score. A few more than k if there
            are enough rows, because float32 misplaces some.
        radius: the largest norm of an indexed row.

    Attributes:
        dimension: (Q,) local intrinsic dimension at each query.
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
        # An inner product is half a squared distance on a sphere if a further coordinate, which is 0 for queries, lifts
        # all rows to the norm of the longest (Bachrach et al. 2014). Under the cosine, vectors lie on a sphere already.
        gaps = 1 - exact / lengths
        self.dimension = local_dimension(np.sqrt(np.where(gaps > 2 * ROUNDING, gaps, 0)))
        self._found: dict[int, NDArray[np.int64]] = {}
        progress.advance(len(queries))

    def found(self, effort: int) -> NDArray[np.int64]:
        """(Q,) how many of the k rows found at efSearch `effort` are as near as the k-th exact one."""
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

        The effort returned was searched. Recall does not always rise with the effort, so a smaller effort may be enough
        by chance.
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
