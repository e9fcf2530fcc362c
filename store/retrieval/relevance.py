"""Relevance of rows to queries: by the same label, or by judgements."""

from __future__ import annotations

from collections.abc import Callable
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


@dataclass(frozen=True)
class BlockRelevance:
    """Relevance of the N rows of one block.

    Attributes:
        mask: slice of the queries -> (q, N) bool.
        grades: a query -> (N,) float32, how relevant each row is; 0 where it is not.
        counts: (Q,) how many of the rows are relevant to each query.
        pairs: (P,) queries and (P,) rows -> (P,) bool, whether each row is relevant to its query.
    """

    mask: Callable[[slice], Mask]
    grades: Callable[[int], NDArray[np.float32]]
    counts: NDArray[np.int64]
    pairs: Callable[[Places, Places], Mask]


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

        def mask(part: slice) -> Mask:
            same: Mask = of_queries[part, None] == of_rows[None, :]
            return same

        rows_of_class = np.bincount(of_rows[of_rows >= 0], minlength=len(classes))
        return BlockRelevance(
            mask,
            lambda query: (of_rows == of_queries[query]).astype(np.float32),
            rows_of_class[of_queries],
            lambda query, row: of_queries[query] == of_rows[row],
        )

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
        query, column, grade = self.query[here], column[here], self.grade[here]

        def mask(part: slice) -> Mask:
            start, stop = np.searchsorted(query, [part.start, part.stop])
            relevant = np.zeros((part.stop - part.start, len(block.ids)), bool)
            relevant[query[start:stop] - part.start, column[start:stop]] = True
            return relevant

        def grades(of_query: int) -> NDArray[np.float32]:
            start, stop = np.searchsorted(query, [of_query, of_query + 1])
            of_rows = np.zeros(len(block.ids), np.float32)
            of_rows[column[start:stop]] = grade[start:stop]
            return of_rows

        counts = np.bincount(query, minlength=self.queries)
        keys = query * len(block.ids) + column
        return BlockRelevance(
            mask, grades, counts, lambda queries, rows: np.isin(queries * len(block.ids) + rows, keys)
        )

    def restricted(self, chosen: Mask) -> Judgements:
        kept = chosen[self.query]
        renumbered = np.cumsum(chosen) - 1
        return Judgements(
            int(chosen.sum()), renumbered[self.query[kept]], self.row.filter(pa.array(kept)), self.grade[kept]
        )
