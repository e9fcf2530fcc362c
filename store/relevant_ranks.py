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
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.store.gallery_rows import Block, StoredRows
from skipfill.store.ids import positions, to_numpy
from skipfill.store.search import scored_blocks
from skipfill.store.spaces import Metric
from skipfill.store.vector_column import Matrix

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class RelevantRanks:
    """Attributes:
    ranks: one ascending array per query: the 1-based ranks of its relevant rows; empty when it has none.
    """

    ranks: list[NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.ranks)


@dataclass(frozen=True)
class Queries:
    """Q queries with their ground truth.

    Attributes:
        ids: (Q,) ids; a gallery row of the same id is the query itself and is left out of its ranking.
        labels: (Q,) strings; gallery rows of the same label are relevant.
        vectors: (Q, D) float32 in the gallery's space.
    """

    ids: pa.Array
    labels: pa.Array
    vectors: Matrix


def relevant_ranks(
    rows: StoredRows, queries: Queries, metric: Metric = "cosine", progress: Callable[[int], None] = lambda rows: None
) -> RelevantRanks:
    """Rank the relevant rows of each query among all rows; equal scores are ordered by the smaller id.

    Args:
        rows: gallery rows with labels; rows without one are relevant to no query.
        progress: called with the number of query-row pairs scored since the last call, 2 * Q * N in all.
    """
    truth = _Truth(queries)
    parts: list[list[Scores]] = [[] for _ in range(len(queries.ids))]
    for block, part, products in scored_blocks(rows, queries.vectors, metric):
        relevant, _ = truth.masks(block, part)
        for row in np.flatnonzero(relevant.any(axis=1)).tolist():
            parts[part.start + row].append(products[row, relevant[row]])
        progress(products.size)
    scores = [np.sort(np.concatenate(one))[::-1] if one else np.empty(0, np.float32) for one in parts]
    above = [np.zeros(len(one), np.int64) for one in scores]
    tied: dict[int, list[Scores]] = {}
    for block, part, products in scored_blocks(rows, queries.vectors, metric):
        relevant, itself = truth.masks(block, part)
        products[relevant | itself] = -np.inf
        products.sort(axis=1)
        for row, query in enumerate(range(part.start, part.stop)):
            right = np.searchsorted(products[row], scores[query], side="right")
            above[query] += products.shape[1] - right
            left = np.searchsorted(products[row], scores[query], side="left")
            if (left != right).any():
                tied.setdefault(query, []).append(np.unique(scores[query][left != right]))
        progress(products.size)
    if tied:
        values = {query: np.unique(np.concatenate(found)) for query, found in tied.items()}
        _break_ties(rows, queries, metric, truth, scores, above, values)
    return RelevantRanks([counts + np.arange(1, len(counts) + 1) for counts in above])


def _break_ties(
    rows: StoredRows,
    queries: Queries,
    metric: Metric,
    truth: _Truth,
    scores: list[Scores],
    above: list[NDArray[np.int64]],
    tied: dict[int, Scores],
) -> None:
    """Where others have the very score of a relevant row, count those with a smaller id as above it.

    A pass of its own, over the tied queries alone: ids are not kept for rows that tie with nothing.

    Args:
        tied: query -> its relevant scores that others have too, ascending.
    """
    found: dict[int, list[tuple[Scores, NDArray[Any], NDArray[np.bool_]]]] = {query: [] for query in tied}
    for block, part, products in scored_blocks(rows, queries.vectors, metric):
        relevant, itself = truth.masks(block, part)
        names = to_numpy(block.ids)
        for query in range(part.start, part.stop):
            if query in tied:
                row, values = query - part.start, tied[query]
                nearest = values[np.searchsorted(values, products[row]).clip(max=len(values) - 1)]
                columns = np.flatnonzero((nearest == products[row]) & ~itself[row])
                found[query].append((products[row, columns], names[columns], relevant[row, columns]))
    for query, parts in found.items():
        values, ids, mine = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        # As in `scores`: by descending score, equal ones by ascending id.
        order = np.lexsort((np.unique(ids, return_inverse=True)[1], -values))
        values, mine = values[order], mine[order]
        others = np.cumsum(~mine)
        first = np.searchsorted(-values, -values, side="left")
        before = others - (others[first] - ~mine[first])
        above[query][np.isin(scores[query], values)] += before[mine]


class _Truth:
    """Which rows of a block are relevant to which queries, and which row is the query itself."""

    def __init__(self, queries: Queries) -> None:
        self._classes = pc.unique(queries.labels)
        self._labels = pc.index_in(queries.labels, value_set=self._classes).to_numpy(zero_copy_only=False)
        self._ids = queries.ids
        self._block: Block | None = None
        self._codes: NDArray[np.int64] = np.empty(0, np.int64)
        self._selves: NDArray[np.int64] = np.empty(0, np.int64)

    def masks(self, block: Block, part: slice) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        if block is not self._block:
            self._block = block
            labels = block.labels if block.labels is not None else pa.nulls(len(block.ids), pa.string())
            codes = pc.index_in(labels, value_set=self._classes)
            self._codes = pc.fill_null(codes, -1).to_numpy(zero_copy_only=False).astype(np.int64)
            self._selves = positions(self._ids, block.ids)
        relevant = self._labels[part, None] == self._codes[None, :]
        itself = np.zeros_like(relevant)
        selves = self._selves[part]
        here = np.flatnonzero(selves >= 0)
        itself[here, selves[here]] = True
        return relevant & ~itself, itself
