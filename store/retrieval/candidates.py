"""Rows of a block that may be among the nearest of some queries, by float32 products.

All but a few products are below what their query has found already. The largest product of each group of rows tells so
for the whole group, in one pass over the products while they are in the processor's cache.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skipfill.store.engine.threads import processors
from skipfill.store.parquet.stored_rows import BLOCK_ROWS, Block
from skipfill.store.parquet.vectors import Matrix, Similarity
from skipfill.store.retrieval.products import LARGEST, Places, Scores, comparable, refuse_too_large

PRODUCTS_AT_ONCE = 2**22
GROUP = 512
"""Rows of which the largest product is looked at first."""
FIRST_ROWS = 4_096
"""Number of rows that the first floor is taken from; four times the number of hits if that is more."""
MANY = 256
"""Rows at once raise a query's floor if more of them reach it than this, and than four times the number of hits."""
TASKS = 4
"""For each thread, so that all end at about the same time."""


class RowsAtOnce:
    """Some rows of a block after the other, comparable with queries, in memory that is used again."""

    def __init__(self, queries: int, k: int, dim: int, similarity: Similarity) -> None:
        """Take the memory.

        Args:
            queries: how many are multiplied at once, at most.
            k: how many rows each is to find.
        """
        width = min(BLOCK_ROWS, max(PRODUCTS_AT_ONCE // max(queries, 1), FIRST_ROWS, 4 * k))
        self.count = -(-width // GROUP) * GROUP
        self.products = np.empty((queries, self.count), np.float32)  # to get it anew would cost page faults
        self._similarity: Similarity = similarity
        self._unit = np.empty((self.count if similarity == "cosine" else 0, dim), np.float32)

    def vectors(self, block: Block, some: slice) -> Matrix:
        """Some of the rows."""
        vectors, lengths = block.vectors[some], block.lengths[some]
        return comparable(vectors, self._similarity, lengths, self._unit[: len(vectors)])


class Floors:
    """For each of q queries, a score that k rows are known to reach; and the search for other rows that may reach it.

    Attributes:
        scores: (q,) float64, -inf where fewer rows are known.
    """

    def __init__(self, queries: Matrix, k: int, threads: ThreadPoolExecutor) -> None:
        self._queries, self._k, self._threads = queries, k, threads
        self.scores = np.full(len(queries), -np.inf)

    def reaching(
        self, vectors: Matrix, ids: pa.Array, bound: float, slack: float, memory: Scores
    ) -> tuple[Places, Places]:
        """The pairs of a query and a row that may reach the query's floor, by query.

        Args:
            vectors: (N, D) comparable with the queries.
            ids: (N,) of these rows, for the error message.
            bound: the largest score there can be.
            slack: how far a product may lie from the exact score.
            memory: for the products, a whole number of groups for each query.

        Raises:
            BadInput: a product is too large for float32.
        """
        padded = memory[: len(self._queries), : -(-len(vectors) // GROUP) * GROUP]
        at_once = -(-len(padded) // (TASKS * processors()))
        parts = [slice(start, start + at_once) for start in range(0, len(padded), at_once)]

        def reaching(part: slice) -> tuple[Places, Places]:
            return self._reaching(part, vectors, ids, bound, slack, padded[part])

        pairs = list(self._threads.map(reaching, parts))
        query, row = (np.concatenate(places) for places in zip(*pairs, strict=True))
        return query, row

    def _reaching(
        self, part: slice, vectors: Matrix, ids: pa.Array, bound: float, slack: float, memory: Scores
    ) -> tuple[Places, Places]:
        """The pairs of some of the queries."""
        products, floors = memory[:, : len(vectors)], self.scores[part]
        with np.errstate(over="ignore", invalid="ignore"):
            np.matmul(self._queries[part], vectors.T, out=products)
        if bound > LARGEST / 2:
            refuse_too_large(products, ids)
        memory[:, len(vectors) :] = -np.inf
        self._begin(products, floors, slack)
        below = np.maximum(_float32_below(floors - slack), -LARGEST)  # above the padding
        query, row = _reaching(memory, below)
        query, row = self._fewer(products, floors, query, row, slack)
        return query + part.start, row

    def _begin(self, products: Scores, floors: NDArray[np.float64], slack: float) -> None:
        """Set the floors that are not known, by some of these rows.

        Let p be the k-th largest product. k rows have exact scores of at least p - slack.
        """
        some = products[:, : max(FIRST_ROWS, 4 * self._k)]
        unknown = np.flatnonzero(np.isinf(floors))
        if some.shape[1] > self._k and len(unknown):
            floors[unknown] = _kth(some[unknown], self._k) - slack

    def _fewer(
        self, products: Scores, floors: NDArray[np.float64], query: Places, row: Places, slack: float
    ) -> tuple[Places, Places]:
        """The pairs; for a query with many, without those that better rows among these rule out."""
        counts = np.bincount(query, minlength=len(products))
        many = np.flatnonzero(counts > max(MANY, 4 * self._k))
        if not len(many):
            return query, row
        for one in many:
            floors[one] = max(floors[one], _kth(products[one : one + 1], self._k)[0] - slack)
        kept = products[query, row] >= _float32_below(floors - slack)[query]
        return query[kept], row[kept]


def _reaching(products: Scores, below: Scores) -> tuple[Places, Places]:
    """The pairs of a query and a row whose product is not below the query's."""
    groups = products.reshape(len(products), -1, GROUP)
    query, group = (groups.max(axis=2) >= below[:, None]).nonzero()
    pair, place = (groups[query, group] >= below[query, None]).nonzero()
    return query[pair], group[pair] * GROUP + place


def _kth(products: Scores, k: int) -> NDArray[np.float64]:
    """(q,) the k-th largest of each row."""
    at = products.shape[1] - k
    kth: NDArray[np.float64] = np.partition(products, at, axis=1)[:, at].astype(np.float64)
    return kth


def _float32_below(numbers: NDArray[np.float64]) -> Scores:
    """Numbers that float32 holds and that are not above these."""
    below: Scores = np.nextafter(numbers.astype(np.float32), np.float32(-np.inf))
    return below
