"""Exact ranks of every relevant row of every query over a gallery that need not fit in memory.

The relevant rows are scored first; then, while the gallery streams by once more, the other rows that lie above each
of them are counted. No sort, no full matrix of scores. Several sets of query vectors share both passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skipfill.store.engine.engine import LOCAL, Engine
from skipfill.store.engine.threads import product_threads
from skipfill.store.parquet.ids import IdSet
from skipfill.store.parquet.parts import map_rows
from skipfill.store.parquet.stored_rows import Block, StoredRows, read_ahead
from skipfill.store.parquet.vectors import Matrix, Similarity, longest
from skipfill.store.retrieval.other_rows import OtherRows, RowsOfBlock
from skipfill.store.retrieval.products import Places, Scores, comparable
from skipfill.store.retrieval.relevance import Relevance
from skipfill.store.retrieval.relevant_rows import BlockTruth, RelevantRows, score_relevant_rows
from skipfill.store.retrieval.score_cells import BINS

QUERIES_AT_ONCE = 64
"""Queries for which a thread counts the rows of a block: their float32 products with it are 4 MB (64 x 16,384 x 4
bytes), which the processor's cache holds."""
SMALLEST = float(np.finfo(np.float32).smallest_normal)
"""Range of scores where all are smaller: float32 has too few of their digits to cut a smaller range into bins."""


@dataclass(frozen=True)
class RelevantRanks:
    """Attributes:
    ranks: of each query, (R,) ascending: the 1-based ranks of its R relevant rows; empty when it has none.
    scores: of each query, (R,) of the same rows, descending: cosines or inner products.
    grades: of each query, (R,) of the same rows, above 0; None when all are 1.
    edges: (B + 1,) ascending bounds of equal bins of scores, from the least score that there can be to the largest.
    others: (Q, B) how many rows that are not relevant score within each bin, lower bound included.
    of_sample: the same among the rows of a sample alone; None without one.
    """

    ranks: list[NDArray[np.int64]]
    scores: list[Scores]
    grades: list[NDArray[np.float32]] | None
    edges: NDArray[np.float64]
    others: NDArray[np.uint32]
    of_sample: RelevantRanks | None = None


@dataclass(frozen=True)
class Queries:
    """Q queries with their ground truth.

    Attributes:
        ids: (Q,) ids; a gallery row of the same id is the query itself and is left out of its ranking. NULL for a query
            that is not a row.
        truth: which rows are relevant to each.
        vectors: (Q, D) float32 in the gallery's space.
    """

    ids: pa.Array
    truth: Relevance
    vectors: Matrix


def relevant_ranks(
    rows: StoredRows,
    queries: Queries,
    similarity: Similarity = "cosine",
    progress: Callable[[int], None] = lambda rows: None,
) -> RelevantRanks:
    """Rank the relevant rows of each query among all rows; equal scores are ordered by the smaller id.

    Scores are float64 inner products rounded to float32.

    Args:
        progress: called with the number of query-row pairs scored since the last call, 2 * Q * N in all.
    """
    return ranks_of_sets(rows, queries.ids, queries.truth, [queries.vectors], similarity, progress)[0]


def ranks_of_sets(
    rows: StoredRows,
    ids: pa.Array,
    truth: Relevance,
    sets: Sequence[Matrix],
    similarity: Similarity = "cosine",
    progress: Callable[[int], None] = lambda rows: None,
    sample: IdSet | None = None,
    engine: Engine = LOCAL,
) -> list[RelevantRanks]:
    """Rank as `relevant_ranks` does, under each of S sets of vectors of the same Q queries, in the same two passes.

    Args:
        ids: (Q,) of the queries: see `Queries`.
        sets: S of (Q, D) float32, in the gallery's space.
        sample: ids of n rows: the ranks among these alone are counted too.
        progress: 2 * S * Q * N in all, and S * Q * n for a sample.
        engine: scores and counts parts of the rows.
    """
    sets = [comparable(one, similarity) for one in sets]
    relevant, length = score_relevant_rows(rows, ids, truth, sets, similarity, progress, engine)
    bounds = [1.0 if similarity == "cosine" else max(length * longest(one), SMALLEST) for one in sets]
    among = [relevant] if sample is None else [relevant, [one.among(sample) for one in relevant]]
    counts = [rows.count] if sample is None else [rows.count, len(sample)]
    asked = _Asked(ids, truth, sets, similarity, sample, among, bounds, counts)
    counted = reduce(_summed, map_rows(_count, rows, asked, engine, progress))
    among_all, *among_sample = [list(map(_joined, *one, bounds)) for one in zip(among, counted, strict=True)]
    if not among_sample:
        return among_all
    return [replace(one, of_sample=some) for one, some in zip(among_all, *among_sample, strict=True)]


@dataclass(frozen=True)
class _Asked:
    """Q queries under S sets of vectors, comparable with rows, and their relevant rows.

    Attributes:
        among: their relevant rows under each set; and, where there is a sample, those in it.
        bounds: of each set, the largest score there can be.
        rows: how many there are in all; and, where there is a sample, in it.
    """

    ids: pa.Array
    truth: Relevance
    sets: Sequence[Matrix]
    similarity: Similarity
    sample: IdSet | None
    among: list[list[RelevantRows]]
    bounds: list[float]
    rows: list[int]


@dataclass(frozen=True)
class _Counted:
    """Counts of the rows that were read, of those that are not relevant.

    Attributes:
        above: of each query, how many lie above each of its relevant rows, in the order of `RelevantRows`.
        histograms: (Q, B) how many score within each bin.
    """

    above: list[Places]
    histograms: NDArray[np.uint32]

    @classmethod
    def of(cls, parts: list[OtherRows], threads: ThreadPoolExecutor) -> _Counted:
        """Join the counts of the parts of the queries, one part after the other."""
        above = list(threads.map(OtherRows.above, parts))
        return cls(
            [one for part in above for one in part], np.concatenate(list(threads.map(OtherRows.histograms, parts)))
        )

    def __add__(self, other: _Counted) -> _Counted:
        above = [one + more for one, more in zip(self.above, other.above, strict=True)]
        return _Counted(above, self.histograms + other.histograms)


def _count(rows: StoredRows, asked: _Asked, progress: Callable[[int], None]) -> list[list[_Counted]]:
    """Count some of the rows: those of all rows under each set, then, if there is a sample, those of its rows alone."""
    queries = len(asked.ids)
    parts = [slice(start, min(start + QUERIES_AT_ONCE, queries)) for start in range(0, queries, QUERIES_AT_ONCE)]
    of_all = len(asked.among) * len(asked.sets) * queries
    counted = [
        [
            [OtherRows(one, part, found, bound, rows_in_all, of_all) for part in parts]
            for one, found, bound in zip(asked.sets, founds, asked.bounds, strict=True)
        ]
        for founds, rows_in_all in zip(asked.among, asked.rows, strict=True)
    ]
    with product_threads() as threads:
        for block in read_ahead(_comparable(rows, asked.similarity)):
            for products in threads.map(_Task.run, _tasks(block, asked, counted, parts)):
                progress(products)
        return [[_Counted.of(of_set, threads) for of_set in of_sets] for of_sets in counted]


def _comparable(rows: StoredRows, similarity: Similarity) -> Iterator[Block]:
    for block in rows.blocks():
        yield replace(block, vectors=comparable(block.vectors, similarity, block.lengths))


@dataclass(frozen=True)
class _Task:
    """The counting of the rows of one block for some queries, under each set."""

    others: list[OtherRows]
    rows: RowsOfBlock
    truth: BlockTruth
    part: slice

    def run(self) -> int:
        """Count; return the number of products."""
        left_out = self.truth.not_others(self.part)
        return sum(others.add(self.rows, left_out) for others in self.others)


def _tasks(block: Block, asked: _Asked, counted: list[list[list[OtherRows]]], parts: list[slice]) -> Iterator[_Task]:
    blocks = [block] if asked.sample is None else [block, block.filter(asked.sample.holds(block.ids))]
    for one, of_sets in zip(blocks, counted, strict=True):
        rows, truth = RowsOfBlock(one.ids, one.vectors), BlockTruth.of(one, asked.ids, asked.truth)
        for part, *others in zip(parts, *of_sets, strict=True) if len(one.ids) else []:
            yield _Task(others, rows, truth, part)


def _summed(one: list[list[_Counted]], other: list[list[_Counted]]) -> list[list[_Counted]]:
    """The counts of two parts of the rows together."""
    return [[a + b for a, b in zip(*both, strict=True)] for both in zip(one, other, strict=True)]


def _joined(found: RelevantRows, counted: _Counted, bound: float) -> RelevantRanks:
    """The ranks of relevant rows, from the rows counted above them."""
    cuts = found.starts[1:-1]
    ranks = [np.sort(above) + np.arange(1, len(above) + 1) for above in counted.above]
    scores = [one[::-1] for one in np.split(found.scores, cuts)]
    grades = None if found.grades is None else [one[::-1] for one in np.split(found.grades, cuts)]
    return RelevantRanks(ranks, scores, grades, np.linspace(-bound, bound, BINS + 1), counted.histograms)
