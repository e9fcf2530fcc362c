"""Counts, for some queries, of the rows above each of their relevant rows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
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
from skipfill.store.retrieval.score_cells import BINS, Scale, ScoreCells, Scratch, from_above, parts_for
from skipfill.store.retrieval.zones import Zones, bisected

TABLES = 2**27
"""Bytes of the tables of all queries."""
MUCH_DOUBT = 0.01
"""Share of the products of which the exact score is needed; beyond it, products in float64 cost less."""
AT_ONCE = 32
"""Queries whose rows one thread counts at a time; what is near a relevant score of theirs is looked at together."""
ORDINARY = (1e-30, 1e30)
"""Scores that float32 holds with all their digits, and still does when they are scaled to bins."""
LATER = 2**63
Counts = tuple[list[ScoreCells], Zones]
"""Of the products of one precision: of each query, and what lies near zones."""


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
        self._starts = relevant.starts[part.start : part.stop + 1] - relevant.starts[part.start]
        self._scores = relevant.scores[relevant.starts[part.start] : relevant.starts[part.stop]]
        self._ties = np.zeros(len(self._scores), np.int64)
        self._exact = np.zeros(len(self._scores) + len(self._of), np.uint32)
        self._made = self._added = 0
        self._float64_from = LATER if ORDINARY[0] < bound < ORDINARY[1] else 0
        self._counted: dict[Precision, Counts] = {}

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

    def add(
        self,
        rows: RowsOfBlock,
        products: NDArray[Any],
        left_out: list[Places],
        threads: ThreadPoolExecutor | None = None,
    ) -> None:
        """Count the rows of one block.

        Args:
            left_out: of each query, the rows that are not counted.
            threads: that share the queries; None for this one alone.
        """
        counts = self._counted.get(products.dtype.type) or self._new_counts(products.dtype.type)

        def add(part: range) -> int:
            return self._add(counts, rows, products, left_out, part)

        parts = [range(start, min(start + AT_ONCE, len(products))) for start in range(0, len(products), AT_ONCE)]
        in_doubt = sum((map if threads is None else threads.map)(add, parts))
        self._added += 1
        if in_doubt > MUCH_DOUBT * products.size:
            # Not the next block, whose product may be at work already: results must not depend on who is faster.
            self._float64_from = min(self._float64_from, self._added + 1)

    def _add(
        self, counts: Counts, rows: RowsOfBlock, products: NDArray[Any], left_out: list[Places], part: range
    ) -> int:
        """Count the rows for some of the queries; return how many exact scores were needed."""
        cells, zones = counts
        scratch = Scratch(products.shape[1], products.dtype.type)
        near = [cells[one].add(products[one], left_out[one], scratch) for one in part]
        row, cell = (np.concatenate(of_queries) for of_queries in zip(*near, strict=True))
        query = np.repeat(part, [len(of_query) for of_query, _ in near])
        inside = zones.add(query, cell, products[query, row])
        query, row = query[inside], row[inside]
        if len(query):
            self._add_exact(rows, query, row, exact_scores(self._vectors, rows.vectors, query, row, rows.ids))
        return len(query)

    def above(self) -> list[Places]:
        """Of each query, how many rows are above each relevant one, in the order of `RelevantRows`."""
        result = []
        for number, (start, stop) in enumerate(zip(self._starts, self._starts[1:], strict=False)):
            exact = self._exact[start + number : stop + number + 1]
            above = self._ties[start:stop] + from_above(exact)[1:-1]
            for cells, zones in self._counted.values():
                above += cells[number].above(zones.between(number))
            result.append(above)
        return result

    def histograms(self) -> NDArray[np.uint32]:
        """(q, B) how many rows score within each bin."""
        counts = np.zeros((len(self._of), BINS), np.uint32)
        for cells, _ in self._counted.values():
            counts += np.stack([one.histogram() for one in cells])
        return counts

    def _new_counts(self, precision: Precision) -> Counts:
        slack = rounding(self._vectors.shape[1], self._bound * (1 + 1e-5), precision)
        scale = Scale(self._bound, slack, self._parts, precision)
        cells = [ScoreCells(self._relevant.scores[of], scale) for of in self._of]
        self._counted[precision] = cells, Zones([one.zones for one in cells])
        return self._counted[precision]

    def _add_exact(self, rows: RowsOfBlock, query: Places, row: Places, scores: Scores) -> None:
        """Count pairs by their exact scores; they are sorted by query."""
        end = self._starts[query + 1]
        at = bisected(self._scores, self._starts[query], end, scores, side="left")
        np.add.at(self._exact, at + query, np.uint32(1))  # each query has one count more than relevant scores
        tied = at < end
        tied[tied] = self._scores[at[tied]] == scores[tied]
        for number in np.unique(query[tied]):
            here = tied & (query == number)
            self._add_ties(self._of[number], scores[here], rows.ids.take(pa.array(row[here])))

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
        self._ties[relevant[order[~other]] - self._of[0].start] += before[~other]
