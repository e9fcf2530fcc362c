"""Exact ranks of every relevant row of every query over a gallery that need not fit in memory.

The relevant rows are scored first; then, while the gallery streams by once more, the other rows that lie above
each of them are counted. No full sort, no full matrix of scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skipfill.store.parquet.ids import positions, to_numpy
from skipfill.store.parquet.stored_rows import Block, StoredRows
from skipfill.store.parquet.vectors import Matrix, Similarity, longest
from skipfill.store.retrieval.relevance import BlockRelevance, Mask, Relevance
from skipfill.store.retrieval.search import scored_blocks

Scores = NDArray[np.float32]
BINS = 2048
LEAST = np.finfo(np.float32).min


@dataclass(frozen=True)
class RelevantRanks:
    """Attributes:
    ranks: one ascending array per query: the 1-based ranks of its relevant rows; empty when it has none.
    scores: of the same rows, descending.
    grades: of the same rows; None when all are 1.
    edges: (B + 1,) ascending bounds of bins of scores.
    others: (Q, B) how many rows that are not relevant score within each bin, lower bound included.
    """

    ranks: list[NDArray[np.int64]]
    scores: list[Scores]
    grades: list[NDArray[np.float32]] | None
    edges: NDArray[np.float64]
    others: NDArray[np.uint32]


@dataclass(frozen=True)
class Queries:
    """Q queries with their ground truth.

    Attributes:
        ids: (Q,) ids; a gallery row of the same id is the query itself and is left out of its ranking.
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

    Args:
        progress: called with the number of query-row pairs scored since the last call, 2 * Q * N in all.
    """
    truth = _Truth(queries)
    relevant_rows, length = _scored(rows, queries, similarity, truth, progress)
    scores = [relevant.scores for relevant in relevant_rows]
    above = [np.zeros(len(of_query), np.int64) for of_query in scores]
    edges = _edges(queries, similarity, length)
    # A cosine is rounded to a little beyond 1 at times; what was left out above is below every bound.
    bounds = np.concatenate([[LEAST], edges[1:-1], [-LEAST]]).astype(np.float32)
    others = np.zeros((len(queries.ids), BINS), np.uint32)
    tied: dict[int, list[Scores]] = {}
    for block, part, products in scored_blocks(rows, queries.vectors, similarity):
        relevant, itself = truth.masks(block, part)
        products[relevant | itself] = -np.inf
        products.sort(axis=1)
        for row, query in enumerate(range(part.start, part.stop)):
            right = np.searchsorted(products[row], scores[query], side="right")
            above[query] += products.shape[1] - right
            left = np.searchsorted(products[row], scores[query], side="left")
            if (left != right).any():
                tied.setdefault(query, []).append(np.unique(scores[query][left != right]))
            others[query] += np.diff(np.searchsorted(products[row], bounds)).astype(np.uint32)
        progress(products.size)
    if tied:
        values = {query: np.unique(np.concatenate(parts)) for query, parts in tied.items()}
        _break_ties(rows, queries, similarity, truth, scores, above, values)
    ranks = [counts + np.arange(1, len(counts) + 1) for counts in above]
    grades = [relevant.grades for relevant in relevant_rows] if queries.truth.graded else None
    return RelevantRanks(ranks, scores, grades, edges, others)


@dataclass(frozen=True)
class _Relevant:
    """The relevant rows of one query by descending score, equal ones by ascending id."""

    scores: Scores
    grades: NDArray[np.float32]


def _scored(
    rows: StoredRows, queries: Queries, similarity: Similarity, truth: _Truth, progress: Callable[[int], None]
) -> tuple[list[_Relevant], float]:
    """Of each query, and the length of the longest stored vector."""
    length, last = 0.0, None
    graded = queries.truth.graded
    scores: list[list[Scores]] = [[] for _ in range(len(queries.ids))]
    grades: list[list[NDArray[np.float32]]] = [[] for _ in range(len(queries.ids))]
    names: list[list[NDArray[Any]]] = [[] for _ in range(len(queries.ids))]
    for block, part, products in scored_blocks(rows, queries.vectors, similarity):
        if block is not last:
            last = block
            length = max(length, longest(block.vectors))
        relevant, _ = truth.masks(block, part)
        for row in np.flatnonzero(relevant.any(axis=1)).tolist():
            query = part.start + row
            scores[query].append(products[row, relevant[row]])
            if graded:
                grades[query].append(truth.block(block).grades(query)[relevant[row]])
                names[query].append(to_numpy(block.ids)[relevant[row]])
        progress(products.size)
    nothing = np.empty(0, np.float32)
    if not graded:  # which of equally relevant rows with one score comes first makes no difference
        ordered = (np.sort(np.concatenate(parts))[::-1] if parts else nothing for parts in scores)
        return [_Relevant(of_query, nothing) for of_query in ordered], length
    relevant_rows = []
    for query, parts in enumerate(scores):
        if not parts:
            relevant_rows.append(_Relevant(nothing, nothing))
            continue
        own, ids = np.concatenate(parts), np.concatenate(names[query])
        order = np.lexsort((np.unique(ids, return_inverse=True)[1], -own))
        relevant_rows.append(_Relevant(own[order], np.concatenate(grades[query])[order]))
    return relevant_rows, length


def _edges(queries: Queries, similarity: Similarity, length: float) -> NDArray[np.float64]:
    """Bounds of equal bins that hold every score."""
    bound = 1.0
    if similarity == "ip":
        bound = length * longest(queries.vectors) or 1.0
    return np.linspace(-bound, bound, BINS + 1)


def _break_ties(
    rows: StoredRows,
    queries: Queries,
    similarity: Similarity,
    truth: _Truth,
    scores: list[Scores],
    above: list[NDArray[np.int64]],
    tied: dict[int, Scores],
) -> None:
    """Count rows with the same score as a relevant row and a smaller id as above it.

    A pass of its own, over the tied queries alone: ids are not kept for rows that tie with nothing.

    Args:
        tied: query -> its relevant scores that others have too, ascending.
    """
    ties: dict[int, list[tuple[Scores, NDArray[Any], Mask]]] = {query: [] for query in tied}
    for block, part, products in scored_blocks(rows, queries.vectors, similarity):
        relevant, itself = truth.masks(block, part)
        names = to_numpy(block.ids)
        for query in range(part.start, part.stop):
            if query in tied:
                row, values = query - part.start, tied[query]
                nearest = values[np.searchsorted(values, products[row]).clip(max=len(values) - 1)]
                columns = np.flatnonzero((nearest == products[row]) & ~itself[row])
                ties[query].append((products[row, columns], names[columns], relevant[row, columns]))
    for query, parts in ties.items():
        values, ids, mine = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        # As in `scores`: by descending score, equal ones by ascending id.
        order = np.lexsort((np.unique(ids, return_inverse=True)[1], -values))
        values, mine = values[order], mine[order]
        others = np.cumsum(~mine)
        first = np.searchsorted(-values, -values, side="left")
        before = others - (others[first] - ~mine[first])
        above[query][np.isin(scores[query], values)] += before[mine]


class _Truth:
    """The ground truth of one block after the other, and which row is the query itself."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._block: Block | None = None
        self._truth: BlockRelevance
        self._selves: NDArray[np.int64]

    def block(self, block: Block) -> BlockRelevance:
        if block is not self._block:
            self._block, self._truth = block, self._queries.truth.of(block)
            self._selves = positions(self._queries.ids, block.ids)
        return self._truth

    def masks(self, block: Block, part: slice) -> tuple[Mask, Mask]:
        """(q, N) relevant, and (q, N) the query itself, which is relevant to no query of its own id."""
        relevant = self.block(block).mask(part)
        itself = np.zeros_like(relevant)
        selves = self._selves[part]
        here = np.flatnonzero(selves >= 0)
        itself[here, selves[here]] = True
        return relevant & ~itself, itself
