"""Relevance of rows to queries: by the same label, or by judgements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.store.parquet.ids import positions
from skipfill.store.parquet.stored_rows import Block

Mask = NDArray[np.bool_]
Places = NDArray[np.int64]
PAIRS_AT_ONCE = 2**20
"""Pairs that are listed at once, unless one query has more."""


@dataclass(frozen=True)
class Pairs:
    """P pairs of a query and a row that is relevant to it, query by query, rows ascending.

    Attributes:
        query, row: (P,) positions.
        grade: (P,) float32, how relevant.
    """

    query: Places
    row: Places
    grade: NDArray[np.float32]

    def filter(self, chosen: Mask) -> Pairs:
        """Some of them, (P,) bool."""
        return self if chosen.all() else Pairs(self.query[chosen], self.row[chosen], self.grade[chosen])


@dataclass(frozen=True)
class BlockRelevance:
    """Relevance of the N rows of one block.

    Attributes:
        counts: (Q,) how many of the rows are relevant to each query.
        holds: (P,) queries and (P,) rows -> (P,) bool, whether each row is relevant to its query.
        pairs_of: slice of the queries -> their pairs.
    """

    counts: NDArray[np.int64]
    holds: Callable[[Places, Places], Mask]
    pairs_of: Callable[[slice], Pairs]

    def pairs(self) -> Iterator[Pairs]:
        """All pairs, about `PAIRS_AT_ONCE` at a time."""
        ends = self.counts.cumsum()
        start = 0
        while start < len(ends):
            before = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + PAIRS_AT_ONCE, side="right")))
            yield self.pairs_of(slice(start, stop))
            start = stop


class Relevance(Protocol):
    """The relevant rows of Q queries."""

    @property
    def graded(self) -> bool:
        """Whether some relevant rows are more relevant than others."""
        ...

    def of(self, block: Block) -> BlockRelevance: ...

    def contents(self) -> list[str]:
        """(Q,) what is relevant to each query, as text: equal texts mean the same."""
        ...

    def restricted(self, chosen: Mask) -> Relevance:
        """The same of some of the queries, (Q,) bool."""
        ...


@dataclass(frozen=True)
class SameLabel:
    """Rows of the query's label are relevant; rows without a label are relevant to nothing.

    Attributes:
        labels: (Q,) strings.
    """

    labels: pa.Array

    @property
    def graded(self) -> bool:
        return False

    def contents(self) -> list[str]:
        return [str(label) for label in self.labels.to_pylist()]

    @cached_property
    def _classes(self) -> tuple[pa.Array, Places]:
        """Every label once, and which of them each query has."""
        classes = pc.unique(self.labels)
        return classes, positions(self.labels, classes)

    def of(self, block: Block) -> BlockRelevance:
        classes, of_queries = self._classes
        labels = block.labels if block.labels is not None else pa.nulls(len(block.ids), pa.string())
        of_rows = positions(labels, classes)

        rows = np.argsort(of_rows, kind="stable")[(of_rows < 0).sum() :]
        rows_of_class = np.bincount(of_rows[of_rows >= 0], minlength=len(classes))
        counts, first = rows_of_class[of_queries], (rows_of_class.cumsum() - rows_of_class)[of_queries]

        def pairs_of(part: slice) -> Pairs:
            query = np.repeat(np.arange(part.start, part.start + len(counts[part])), counts[part])
            starts = first[part] - (counts[part].cumsum() - counts[part])
            row = rows[np.arange(len(query)) + np.repeat(starts, counts[part])]
            return Pairs(query, row, np.broadcast_to(np.float32(1), len(row)))

        return BlockRelevance(counts, lambda query, row: of_queries[query] == of_rows[row], pairs_of)

    def restricted(self, chosen: Mask) -> SameLabel:
        return SameLabel(self.labels.filter(pa.array(chosen)))


@dataclass(frozen=True)
class Judgements:
    """Judged pairs of query and row with a grade above 0; all other rows are not relevant.

    Attributes:
        queries: Q.
        query: (J,) ascending, position of the query.
        row: (J,) ids of rows.
        grade: (J,) float32, above 0.
    """

    queries: int
    query: NDArray[np.int64]
    row: pa.Array
    grade: NDArray[np.float32]

    @property
    def graded(self) -> bool:
        return bool((self.grade != 1).any())

    def contents(self) -> list[str]:
        judged: list[list[str]] = [[] for _ in range(self.queries)]
        for query, row, grade in zip(self.query.tolist(), self.row.to_pylist(), self.grade.tolist(), strict=True):
            judged[query].append(f"{row!r} {grade:g}")
        return ["\n".join(sorted(pairs)) for pairs in judged]

    def of(self, block: Block) -> BlockRelevance:
        column = positions(self.row, block.ids)
        here = np.flatnonzero(column >= 0)
        order = here[np.lexsort((column[here], self.query[here]))]
        query, row, grade = self.query[order], column[order], self.grade[order]
        keys = query * len(block.ids) + row

        def pairs_of(part: slice) -> Pairs:
            chosen = slice(*np.searchsorted(query, [part.start, part.stop]))
            return Pairs(query[chosen], row[chosen], grade[chosen])

        return BlockRelevance(
            np.bincount(query, minlength=self.queries),
            lambda queries, rows: np.isin(queries * len(block.ids) + rows, keys),
            pairs_of,
        )

    def restricted(self, chosen: Mask) -> Judgements:
        kept = chosen[self.query]
        renumbered = np.cumsum(chosen) - 1
        return Judgements(
            int(chosen.sum()), renumbered[self.query[kept]], self.row.filter(pa.array(kept)), self.grade[kept]
        )
