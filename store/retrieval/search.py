"""Exact nearest rows of a gallery, streamed: memory holds a block of rows, and K hits a query. Ties: smaller id."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.store.errors import BadInput
from skipfill.store.parquet.stored_rows import BLOCK_ROWS, Block, StoredRows
from skipfill.store.parquet.vectors import Matrix, Similarity, longest, normalised

SCORES_AT_ONCE = 2**23
# How far two float32 products of the same vectors can lie apart, as a share of the norms' product.
ROUNDING = 2e-6


@dataclass(frozen=True)
class Hits:
    """The K nearest rows of each of Q queries, best first.

    Attributes:
        ids: (Q * K,) ids, query by query.
        scores: (Q, K) float32 cosines or inner products; higher is nearer.
    """

    ids: pa.Array
    scores: NDArray[np.float32]


def search(
    rows: StoredRows,
    queries: Matrix,
    k: int,
    similarity: Similarity = "cosine",
    progress: Callable[[int], None] = lambda rows: None,
) -> Hits:
    """The `k` rows (all, if there are fewer) with the highest score for each query.

    A float32 matrix product finds the candidates; these are scored again in float64, because the product's
    rounding depends on where a row lies in its block, and equal rows must tie.

    Args:
        queries: (Q, D) float32.
        progress: called with the number of rows read since the last call.
    """
    if similarity == "cosine":
        queries = normalised(queries)
    k = min(k, rows.count)
    step = max(1, SCORES_AT_ONCE // BLOCK_ROWS)
    nearest = [_Nearest(queries[start : start + step], k) for start in range(0, len(queries), step)]
    for block in rows.blocks():
        vectors = normalised(block.vectors) if similarity == "cosine" else block.vectors
        for part in nearest:
            part.add(block.ids, vectors)
        progress(len(block.ids))
    return Hits(pa.concat_arrays([part.ids() for part in nearest]), np.concatenate([part.scores() for part in nearest]))


class _Nearest:
    """The best rows so far of a few queries, as flat arrays sorted by (query, -score, id)."""

    def __init__(self, queries: Matrix, k: int) -> None:
        self._queries = queries
        self._k = k
        self._scale = longest(queries)
        self._worst = np.full(len(queries), -np.inf, np.float32)
        self._of = np.empty(0, np.int64)
        self._scores = np.empty(0, np.float32)
        self._ids: pa.Array | None = None

    def add(self, ids: pa.Array, vectors: Matrix) -> None:
        products = _products(self._queries, vectors, ids)
        slack = np.float32(ROUNDING * self._scale * longest(vectors))
        hot = np.flatnonzero(products.max(axis=1) >= self._worst - slack)
        if len(hot) == 0:
            return
        products = products[hot]
        bar = self._worst[hot]
        if products.shape[1] > self._k:
            at = products.shape[1] - self._k
            bar = np.maximum(bar, np.partition(products, at, axis=1)[:, at])
        query, column = np.nonzero(products >= (bar - slack)[:, None])
        query = hot[query]
        for start in range(0, len(query), SCORES_AT_ONCE // 16):
            part = slice(start, start + SCORES_AT_ONCE // 16)
            exact = np.einsum(
                "cd,cd->c", self._queries[query[part]].astype(np.float64), vectors[column[part]], optimize=False
            )
            self._merge(query[part], exact.astype(np.float32), ids.take(pa.array(column[part])))

    def _merge(self, query: NDArray[np.int64], scores: NDArray[np.float32], ids: pa.Array) -> None:
        touched = np.zeros(len(self._queries), bool)
        touched[query] = True
        again = touched[self._of]
        kept_ids = ids if self._ids is None else pa.concat_arrays([self._ids.filter(pa.array(again)), ids])
        query = np.concatenate([self._of[again], query])
        scores = np.concatenate([self._scores[again], scores])
        order = np.lexsort((_ranked(kept_ids), -scores, query))
        query, scores = query[order], scores[order]
        first = np.searchsorted(query, query, side="left")
        best = np.arange(len(query)) - first < self._k
        query, scores, kept_ids = query[best], scores[best], kept_ids.take(pa.array(order[best]))
        ends = np.flatnonzero(np.diff(query, append=-1))
        full = np.diff(ends, prepend=-1) == self._k
        self._worst[query[ends[full]]] = scores[ends[full]]
        if self._ids is not None:
            kept_ids = pa.concat_arrays([self._ids.filter(pa.array(~again)), kept_ids])
        self._of = np.concatenate([self._of[~again], query])
        self._scores = np.concatenate([self._scores[~again], scores])
        self._ids = kept_ids

    def _order(self) -> NDArray[np.int64]:
        return np.argsort(self._of, kind="stable")

    def ids(self) -> pa.Array:
        assert self._ids is not None
        return self._ids.take(pa.array(self._order()))

    def scores(self) -> NDArray[np.float32]:
        return self._scores[self._order()].reshape(len(self._queries), self._k)


def _ranked(ids: pa.Array) -> NDArray[np.uint64]:
    ranks: NDArray[np.uint64] = pc.rank(ids, sort_keys="ascending", tiebreaker="dense").to_numpy()
    return ranks


def scored_blocks(
    rows: StoredRows, queries: Matrix, similarity: Similarity
) -> Iterator[tuple[Block, slice, NDArray[np.float32]]]:
    """Every score of every query, block by block: (block, which queries, their scores (q, N)).

    The same arguments give the same bits in the same order each time.
    """
    if similarity == "cosine":
        queries = normalised(queries)
    for block in rows.blocks():
        vectors = normalised(block.vectors) if similarity == "cosine" else block.vectors
        step = max(1, SCORES_AT_ONCE // len(vectors))
        for start in range(0, len(queries), step):
            part = slice(start, min(start + step, len(queries)))
            yield block, part, _products(queries[part], vectors, block.ids)


def _products(queries: Matrix, vectors: Matrix, ids: pa.Array) -> NDArray[np.float32]:
    """(Q, N) inner products.

    Raises:
        BadInput: one is too large for float32; no order would be right.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        products: NDArray[np.float32] = queries @ vectors.T
    if not np.isfinite(products).all():
        row = int(np.flatnonzero(~np.isfinite(products).all(axis=0))[0])
        raise BadInput(
            f"inner product with the gallery's row {ids[row].as_py()!r}",
            expected="a number that float32 can hold",
            found="a larger one",
        )
    return products
