"""Exact ranks of every relevant row of every query over a gallery that need not fit in memory.

The relevant rows are scored first; then, while the gallery streams by once more, the other rows that lie above
each of them are counted. No full sort, no full matrix of scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from skipfill.store.gallery_rows import Block, StoredRows
from skipfill.store.ids import to_numpy
from skipfill.store.search import scored_blocks
from skipfill.store.spaces import Metric
from skipfill.store.vector_column import Matrix


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
        progress: called with the number of query-row pairs scored since the last call (2 * Q * N in all).
    """
    truth = _Truth(queries)
    scores: list[list[NDArray[np.float32]]] = [[] for _ in range(len(queries.ids))]
    names: list[list[NDArray[np.generic]]] = [[] for _ in range(len(queries.ids))]
    for block, part, products in scored_blocks(rows, queries.vectors, metric):
        relevant, _ = truth.masks(block, part)
        block_ids = to_numpy(block.ids)
        for row in np.flatnonzero(relevant.any(axis=1)).tolist():
            chosen = relevant[row]
            scores[part.start + row].append(products[row, chosen])
            names[part.start + row].append(block_ids[chosen])
        progress(products.size)
    ordered = [_ordered(s, n) for s, n in zip(scores, names, strict=True)]
    above = [np.zeros(len(one), np.int64) for one, _ in ordered]
    for block, part, products in scored_blocks(rows, queries.vectors, metric):
        relevant, itself = truth.masks(block, part)
        raw = products.copy()
        products[relevant | itself] = -np.inf
        products.sort(axis=1)
        for row in range(len(products)):
            values, value_ids = ordered[part.start + row]
            if len(values):
                right = np.searchsorted(products[row], values, side="right")
                above[part.start + row] += products.shape[1] - right
                tied = right - np.searchsorted(products[row], values, side="left")
                if tied.any():
                    others = ~(relevant[row] | itself[row])
                    candidates = to_numpy(block.ids)[others]
                    for one in np.flatnonzero(tied):
                        equal = raw[row][others] == values[one]
                        above[part.start + row][one] += int((candidates[equal] < value_ids[one]).sum())
        progress(products.size)
    return RelevantRanks([counts + np.arange(1, len(counts) + 1) for counts in above])


def _ordered(
    scores: list[NDArray[np.float32]], names: list[NDArray[np.generic]]
) -> tuple[NDArray[np.float32], NDArray[np.generic]]:
    """Relevant scores and their ids, best first."""
    if not scores:
        return np.empty(0, np.float32), np.empty(0, np.int64)
    values, ids = np.concatenate(scores), np.concatenate(names)
    by_id = np.argsort(ids, kind="stable")
    order = by_id[np.argsort(-values[by_id], kind="stable")]
    return values[order], ids[order]


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
            selves = pc.fill_null(pc.index_in(self._ids, value_set=block.ids), -1)
            self._selves = selves.to_numpy(zero_copy_only=False).astype(np.int64)
        relevant = self._labels[part, None] == self._codes[None, :]
        itself = np.zeros_like(relevant)
        selves = self._selves[part]
        here = np.flatnonzero(selves >= 0)
        itself[here, selves[here]] = True
        return relevant & ~itself, itself
