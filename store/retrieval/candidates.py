"""Rows of a block that may be among the nearest of some queries, by float32 products, or by rougher and faster ones.

All but a few products are below what their query has found already. The largest product of each group of rows tells so
for the whole group, in one pass over the products while they are in the processor's cache.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skipfill.store.engine.threads import processors
from skipfill.store.parquet.stored_rows import BLOCK_ROWS, Block
from skipfill.store.parquet.vectors import Lengths, Matrix, Similarity, lengths_of, longest
from skipfill.store.retrieval.products import (
    LARGEST,
    SCORE_ROUNDING,
    Places,
    Scores,
    comparable,
    refuse_too_large,
    rounding,
)

PRODUCTS_AT_ONCE = 2**22
"""Products of queries and rows that are held at once: 16 MB in float32."""
GROUP = 512
"""Rows of which the largest product is looked at first."""
FIRST_ROWS = 4_096
"""Number of rows that the first floor is taken from; four times the number of hits if that is more."""
MANY = 256
"""If more of the rows looked at together reach a query's floor, and more than four times the number of hits, they raise
the floor before any of them is scored exactly."""
MANY_OF_ALL = 0.002
"""Share of rough products. If many more reach the floors than new hits do, exact scores take longer than is saved."""
TASKS = 4
"""Tasks for each thread, so that all threads end at about the same time."""


class RoughProducts(Protocol):
    """Matrix products that are faster than those in float32 and not as near to the exact ones."""

    def can_multiply(self, lengths: Lengths) -> bool:
        """Whether vectors of these (N,) L2 norms keep the digits that `rounding` takes for granted."""
        ...

    def operand(self, vectors: Matrix) -> Any:
        """(N, D) vectors as `multiply` takes them."""
        ...

    def multiply(self, queries: Any, vectors: Any, out: Scores) -> None:
        """Set `out`, (Q, N), to the products of Q queries and N vectors."""
        ...

    def rounding(self, dim: int, norms: float) -> float:
        """The most that a product and the float64 one may lie apart.

        Args:
            norms: the product of the lengths of query and vector, at most.
        """
        ...

    def one_thread(self) -> AbstractContextManager[None]:
        """A context in which each product takes one thread."""
        ...


class RowsAtOnce:
    """Some rows of a block after the other, comparable with queries, in memory that is used again."""

    def __init__(self, queries: int, k: int, dim: int, similarity: Similarity) -> None:
        """Take the memory.

        Args:
            queries: how many are multiplied at once, at most.
            k: how many rows each is to find.
            dim: D, of the rows.
        """
        width = min(BLOCK_ROWS, max(PRODUCTS_AT_ONCE // max(queries, 1), FIRST_ROWS, 4 * k))
        self.count = -(-width // GROUP) * GROUP
        self.products = np.empty((queries, self.count), np.float32)  # to get it anew would cost page faults
        self._similarity: Similarity = similarity
        self._unit = np.empty((self.count if similarity == "cosine" else 0, dim), np.float32)

    def vectors(self, block: Block, some: slice) -> Matrix:
        """Some of the rows, comparable; the next call may overwrite them."""
        vectors, lengths = block.vectors[some], block.lengths[some]
        return comparable(vectors, self._similarity, lengths, self._unit[: len(vectors)])


class Floors:
    """For each of q queries, a score that k rows are known to reach; and the search for other rows that may reach it.

    Attributes:
        scores: (q,) float64, -inf where fewer rows are known.
    """

    def __init__(self, queries: Matrix, k: int, threads: ThreadPoolExecutor, rough: RoughProducts | None) -> None:
        """Know no floor yet.

        Args:
            queries: (q, D) comparable with rows.
            rough: how to multiply, until too many rows reach the floors by these products; None for float32.
        """
        self._queries, self._k, self._threads = queries, k, threads
        self._scale = longest(queries)
        self._rough = rough if rough and rough.can_multiply(lengths_of(queries)) else None
        self._rough_queries: Any = self._rough.operand(queries) if self._rough else None
        self._seen = 0
        self.scores = np.full(len(queries), -np.inf)

    def reaching(self, vectors: Matrix, lengths: Lengths, ids: pa.Array, memory: Scores) -> tuple[Places, Places]:
        """The pairs of a query and a row that may reach the query's floor, by query.

        Args:
            vectors: (N, D) comparable with the queries.
            lengths: (N,) of these vectors, at least.
            ids: (N,) of these rows, for the error message.
            memory: for the products, a whole number of groups for each query.

        Raises:
            BadInput: a product is too large for float32.
        """
        dim, bound = vectors.shape[1], self._scale * longest(vectors, lengths)
        first = bool(np.isinf(self.scores).any())  # floors that rough products begin with are low: many rows reach them
        rough = self._rough if self._rough and not first and self._rough.can_multiply(lengths) else None
        rough_vectors = rough.operand(vectors) if rough else None
        slack = rough.rounding(dim, bound) if rough else rounding(dim, bound, np.float32)
        slack += SCORE_ROUNDING * bound
        padded = memory[: len(self._queries), : -(-len(vectors) // GROUP) * GROUP]

        def reaching(part: slice) -> tuple[Places, Places]:
            """Those of some of the queries."""
            products = padded[part, : len(vectors)]
            if rough:
                rough.multiply(self._rough_queries[part], rough_vectors, products)
            else:
                with np.errstate(over="ignore", invalid="ignore"):
                    np.matmul(self._queries[part], vectors.T, out=products)
            if bound > LARGEST / 2:
                refuse_too_large(products, ids)
            padded[part, len(vectors) :] = -np.inf
            return self._reaching(part, products, padded[part], slack)

        at_once = -(-len(padded) // (TASKS * processors()))
        parts = [slice(start, start + at_once) for start in range(0, len(padded), at_once)]
        query, row = (np.concatenate(places) for places in zip(*self._threads.map(reaching, parts), strict=True))
        if rough and len(query) > (MANY_OF_ALL + 2 * self._k / self._seen) * padded.size:
            self._rough = None
            return self.reaching(vectors, lengths, ids, memory)
        self._seen += len(vectors)
        return query, row

    def _reaching(self, part: slice, products: Scores, padded: Scores, slack: float) -> tuple[Places, Places]:
        floors = self.scores[part]
        self._begin(products, floors, slack)
        below = np.maximum(_float32_below(floors - slack), -LARGEST)  # above the padding
        query, row = self._fewer(products, floors, *_reaching(padded, below), slack)
        return query + part.start, row

    def _begin(self, products: Scores, floors: NDArray[np.float64], slack: float) -> None:
        """Set the floors that are not known, by the first of these rows.

        Let p be the k-th largest of their products. k rows have exact scores of at least p - slack.
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
    """The pairs of a query and a row whose product is not below the query's number.

    Args:
        products: (q, N) with N a multiple of GROUP.
        below: (q,) numbers.
    """
    groups = products.reshape(len(products), -1, GROUP)
    query, group = (groups.max(axis=2) >= below[:, None]).nonzero()
    pair, place = (groups[query, group] >= below[query, None]).nonzero()
    return query[pair], group[pair] * GROUP + place


def _kth(products: Scores, k: int) -> NDArray[np.float64]:
    """(q,) the k-th largest of the products of each query, of which there are at least k."""
    at = products.shape[1] - k
    kth: NDArray[np.float64] = np.partition(products, at, axis=1)[:, at].astype(np.float64)
    return kth


def _float32_below(numbers: NDArray[np.float64]) -> Scores:
    """(N,) float32 numbers that are nearly these, and not above them."""
    below: Scores = np.nextafter(numbers.astype(np.float32), np.float32(-np.inf))
    return below
