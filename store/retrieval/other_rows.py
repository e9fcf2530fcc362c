"""Counts, for some queries, of the rows above each of their relevant rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skipfill.store.parquet.ids import ranked
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.retrieval.products import (
    LARGEST,
    Places,
    Precision,
    Scores,
    exact_scores,
    refuse_too_large,
    rounding,
)
from skipfill.store.retrieval.relevant_rows import RelevantRows
from skipfill.store.retrieval.score_cells import BINS, Scale, ScoreCells, Scratch, parts_for
from skipfill.store.retrieval.zones import bisected

TABLES = 2**27
"""Bytes that the tables of all queries, in all sets, may take: with many queries, a bin is cut into fewer parts."""
MUCH_DOUBT = 0.01
"""Share of the products of a block of which the exact score is needed; beyond it, products in float64 cost less."""
ORDINARY = (1e-30, 1e30)
"""Largest scores that there can be, for which float32 keeps all digits of scores even when they are scaled to bins."""


@dataclass(frozen=True)
class RowsOfBlock:
    """The N rows of one block.

    Attributes:
        vectors: (N, D) float32, comparable with queries.
    """

    ids: pa.Array
    vectors: Matrix

    _doubles: list[NDArray[np.float64]] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def as_(self, precision: Precision) -> NDArray[Any]:
        """(N, D) the vectors in a precision."""
        if precision is np.float32:
            return self.vectors
        with self._lock:  # one copy for all threads
            if not self._doubles:
                self._doubles.append(self.vectors.astype(np.float64))
        return self._doubles[0]


class OtherRows:
    """Rows that are relevant to none of q queries, counted by where they lie between those that are.

    Products are in float32. Where so many of them are near a relevant score that their exact scores would take too
    long, the next blocks are multiplied in float64.
    """

    def __init__(
        self, vectors: Matrix, part: slice, relevant: RelevantRows, bound: float, rows: int, queries: int
    ) -> None:
        """Args:
        vectors: of all queries, comparable with rows.
        part: q of them.
        relevant: the relevant rows of all queries, under the same set of vectors.
        bound: the largest score there can be.
        rows: how many will be added.
        queries: how many there are, in all parts of all sets.
        """
        self._vectors, self._relevant = vectors[part], relevant
        self._of = [relevant.of(query) for query in range(part.start, part.stop)]
        self._bound = bound
        most = max((of.stop - of.start for of in self._of), default=0)
        self._parts = min(parts_for(most, rows), max(1, TABLES // (2 * BINS * max(queries, 1))))
        self._starts = relevant.starts[part.start : part.stop + 1] - relevant.starts[part.start]
        self._scores = relevant.scores[relevant.starts[part.start] : relevant.starts[part.stop]]
        self._ties = np.zeros(len(self._scores), np.int64)
        self._exact = np.zeros(len(self._scores) + len(self._of), np.uint32)
        self._precision: Precision = np.float32 if ORDINARY[0] < bound < ORDINARY[1] else np.float64
        self._counted: dict[Precision, ScoreCells] = {}

    def add(self, rows: RowsOfBlock, left_out: list[Places]) -> int:
        """Multiply the queries with the rows of one block, and count these; return the number of products.

        Args:
            left_out: of each query, the positions in the block of the rows that are not counted.

        Raises:
            BadInput: a product is too large for float32.
        """
        precision = self._precision
        products: NDArray[Any] = self._vectors.astype(precision, copy=False) @ rows.as_(precision).T
        if self._bound > LARGEST / 2:
            refuse_too_large(products, rows.ids)
        in_doubt = self._add(self._cells(precision), rows, products, left_out)
        if in_doubt > MUCH_DOUBT * products.size:
            self._precision = np.float64
        return products.size

    def above(self) -> list[Places]:
        """Of each query, how many rows are above each relevant one, in the order of `RelevantRows`."""
        queries = len(self._of)
        before = np.append(0, self._exact.cumsum(dtype=np.int64))
        # Of each query there is one exact count more than relevant scores.
        query = np.repeat(np.arange(queries), np.diff(self._starts))
        above = self._ties + before[self._starts[1:] + np.arange(1, queries + 1)][query]
        above -= before[np.arange(len(above)) + query + 1]
        for cells in self._counted.values():
            above += cells.above()
        return np.split(above, self._starts[1:-1])

    def histograms(self) -> NDArray[np.uint32]:
        """(q, B) how many rows score within each bin."""
        counts = np.zeros((len(self._of), BINS), np.uint32)
        for cells in self._counted.values():
            counts += cells.histograms()
        return counts

    def _cells(self, precision: Precision) -> ScoreCells:
        if precision not in self._counted:
            slack = rounding(self._vectors.shape[1], self._bound * (1 + 1e-5), precision)
            scale = Scale(self._bound, slack, self._parts, precision)
            self._counted[precision] = ScoreCells(self._scores, self._starts, scale)
        return self._counted[precision]

    def _add(self, cells: ScoreCells, rows: RowsOfBlock, products: NDArray[Any], left_out: list[Places]) -> int:
        """Count the rows; return how many exact scores were needed.

        Args:
            products: (q, N) of the queries and the rows, in the precision of `cells`.
        """
        scratch = Scratch(products.shape[1], products.dtype.type)
        near = [cells.add(query, of_query, left_out[query], scratch) for query, of_query in enumerate(products)]
        row, cell = (np.concatenate(of_queries) for of_queries in zip(*near, strict=True))
        query = np.repeat(np.arange(len(near)), [len(of_query) for of_query, _ in near])
        inside = cells.in_zones(query, cell, products[query, row])
        query, row = query[inside], row[inside]
        if len(query):
            self._add_exact(rows, query, row, exact_scores(self._vectors, rows.vectors, query, row, rows.ids))
        return len(query)

    def _add_exact(self, rows: RowsOfBlock, query: Places, row: Places, scores: Scores) -> None:
        """Count (P,) pairs, which are sorted by query, by their exact scores."""
        end = self._starts[query + 1]
        at = bisected(self._scores, self._starts[query], end, scores, side="left")
        np.add.at(self._exact, at + query, np.uint32(1))  # each query has one count more than relevant scores
        tied = at < end
        tied[tied] = self._scores[at[tied]] == scores[tied]
        for number in np.unique(query[tied]):
            here = tied & (query == number)
            self._add_ties(self._of[number], scores[here], rows.ids.take(pa.array(row[here])))

    def _add_ties(self, of: slice, scores: Scores, ids: pa.Array) -> None:
        """Count, as above a relevant row, the rows of one query that have its score and a smaller id.

        Args:
            of: the query's relevant rows.
            scores, ids: of the rows, each with the score of some relevant one.
        """
        relevant = np.arange(of.start, of.stop)
        relevant = relevant[np.isin(self._relevant.scores[of], scores)]
        all_ids = pa.concat_arrays([self._relevant.ids.take(pa.array(self._relevant.place[relevant])), ids])
        all_scores = np.concatenate([self._relevant.scores[relevant], scores])
        order = np.lexsort((ranked(all_ids), all_scores))
        other = order >= len(relevant)
        sorted_scores = all_scores[order]
        others = other.cumsum()
        first = np.searchsorted(sorted_scores, sorted_scores)
        before = others - (others[first] - other[first])
        self._ties[relevant[order[~other]] - self._of[0].start] += before[~other]
