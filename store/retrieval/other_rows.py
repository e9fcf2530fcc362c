"""Counts, for some queries, of the rows above each of their relevant rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
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

TABLES = 2**27
"""Bytes of the tables of all queries."""
MUCH_DOUBT = 0.01
"""Share of the products of which the exact score is needed; beyond it, products in float64 cost less."""
ORDINARY = (1e-30, 1e30)
"""Scores that float32 holds with all their digits, and still does when they are scaled to bins."""
LATER = 2**63


@dataclass(frozen=True)
class RowsOfBlock:
    """The N rows of one block.

    Attributes:
        vectors: (N, D) float32, comparable with queries.
    """

    ids: pa.Array
    vectors: Matrix

    def as_(self, precision: Precision) -> NDArray[Any]:
        """The vectors in a precision."""
        return self.vectors if precision is np.float32 else self._doubles

    @cached_property
    def _doubles(self) -> NDArray[np.float64]:
        return self.vectors.astype(np.float64)


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
        bound: the largest score there can be.
        rows: how many will be added.
        queries: how many there are, in all parts of all sets.
        """
        self._vectors, self._relevant = vectors[part], relevant
        self._of = [relevant.of(query) for query in range(part.start, part.stop)]
        self._bound = bound
        most = max((of.stop - of.start for of in self._of), default=0)
        self._parts = min(parts_for(most, rows), max(1, TABLES // (2 * BINS * max(queries, 1))))
        self._ties = np.zeros(relevant.starts[part.stop] - relevant.starts[part.start], np.int64)
        self._first = relevant.starts[part.start]
        self._made = self._added = 0
        self._float64_from = LATER if ORDINARY[0] < bound < ORDINARY[1] else 0
        self._cells: dict[Precision, list[ScoreCells]] = {}

    def products(self, rows: RowsOfBlock) -> NDArray[Any]:
        """(q, N) inner products with the rows of one block, for `add`.

        Raises:
            BadInput: one is too large for float32.
        """
        precision: Precision = np.float32 if self._made < self._float64_from else np.float64
        self._made += 1
        products: NDArray[Any] = self._vectors.astype(precision, copy=False) @ rows.as_(precision).T
        if self._bound > LARGEST / 2:
            refuse_too_large(products, rows.ids)
        return products

    def add(self, rows: RowsOfBlock, products: NDArray[Any], left_out: list[Places]) -> None:
        """Count the rows of one block.

        Args:
            left_out: of each query, the rows that are not counted.
        """
        precision = products.dtype.type
        cells = self._cells.get(precision) or self._new_cells(precision)
        scratch = Scratch(products.shape[1], precision)
        doubtful = [one.add(row, out, scratch) for one, row, out in zip(cells, products, left_out, strict=True)]
        counts = [len(rows_in_doubt) for rows_in_doubt in doubtful]
        in_doubt = sum(counts)
        if in_doubt:
            query, row = np.repeat(np.arange(len(counts)), counts), np.concatenate(doubtful)
            exact = exact_scores(self._vectors, rows.vectors, query, row, rows.ids)
            self._add_exact(cells, rows, query, row, exact)
        self._added += 1
        if in_doubt > MUCH_DOUBT * products.size:
            # Not the next block, whose product may be at work already: results must not depend on who is faster.
            self._float64_from = min(self._float64_from, self._added + 1)

    def above(self) -> list[Places]:
        """Of each query, how many rows are above each relevant one, in the order of `RelevantRows`."""
        result = []
        for number, of in enumerate(self._of):
            above = self._ties[of.start - self._first : of.stop - self._first]
            for cells in self._cells.values():
                above = above + cells[number].above()
            result.append(above)
        return result

    def histograms(self) -> NDArray[np.uint32]:
        """(q, B) how many rows score within each bin."""
        counts = np.zeros((len(self._of), BINS), np.uint32)
        for cells in self._cells.values():
            counts += np.stack([one.histogram() for one in cells])
        return counts

    def _new_cells(self, precision: Precision) -> list[ScoreCells]:
        slack = rounding(self._vectors.shape[1], self._bound * (1 + 1e-5), precision)
        scale = Scale(self._bound, slack, self._parts, precision)
        cells = self._cells[precision] = [ScoreCells(self._relevant.scores[of], scale) for of in self._of]
        return cells

    def _add_exact(
        self, cells: list[ScoreCells], rows: RowsOfBlock, query: Places, row: Places, scores: Scores
    ) -> None:
        """Count pairs by their exact scores; they are sorted by query."""
        starts = np.searchsorted(query, np.arange(len(self._of) + 1))
        for number, of in enumerate(self._of):
            here = slice(starts[number], starts[number + 1])
            if here.start == here.stop:
                continue
            relevant = self._relevant.scores[of]
            cells[number].add_exact(scores[here])
            at = np.searchsorted(relevant, scores[here]).clip(max=len(relevant) - 1)
            tied = np.flatnonzero(relevant[at] == scores[here])
            if len(tied):
                ids = rows.ids.take(pa.array(row[here][tied]))
                self._add_ties(of, scores[here][tied], ids)

    def _add_ties(self, of: slice, scores: Scores, ids: pa.Array) -> None:
        """Count rows with the same score as a relevant row and a smaller id as above it."""
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
        self._ties[relevant[order[~other]] - self._first] += before[~other]
