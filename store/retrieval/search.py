"""Exact nearest rows of a gallery, streamed: memory holds a block of rows, and K hits a query. Ties: smaller id."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skipfill.store.engine.engine import LOCAL, Engine
from skipfill.store.parquet.ids import ranked
from skipfill.store.parquet.parts import map_rows
from skipfill.store.parquet.stored_rows import BLOCK_ROWS, StoredRows
from skipfill.store.parquet.vectors import Matrix, Similarity, longest
from skipfill.store.retrieval.products import (
    LARGEST,
    SCORE_ROUNDING,
    Places,
    Scores,
    comparable,
    exact_scores,
    refuse_too_large,
    rounding,
)

SCORES_AT_ONCE = 2**23
FIRST_ROWS = 4_096
"""Number of rows that the first bar is taken from; four times the number of hits if that is more."""
MANY = 1_024
"""A block raises the bar if more of its rows reach it than this, and than four times the number of hits."""


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
    engine: Engine = LOCAL,
) -> Hits:
    """The `k` rows (all, if there are fewer) with the highest score for each query.

    A float32 matrix product finds the candidates: the rows that are not below the k-th hit so far by more than the
    rounding of the product. These are scored again in float64, because the rounding depends on where a row lies in
    its block, and equal rows must tie.

    Args:
        queries: (Q, D) float32.
        progress: called with the number of rows read since the last call.
        engine: runs the search of parts of the rows, unless only rows of some ids are searched.
    """
    asked = _Asked(comparable(queries, similarity), k, similarity)
    parts = map_rows(_search, rows, asked, engine if rows.keep is None else LOCAL, progress)
    return reduce(partial(_better, k), parts)


@dataclass(frozen=True)
class _Asked:
    """Q queries, comparable with rows, and how many hits each is to find."""

    queries: Matrix
    k: int
    similarity: Similarity


def _search(rows: StoredRows, asked: _Asked, progress: Callable[[int], None]) -> Hits:
    queries, k = asked.queries, min(asked.k, rows.count)
    step = max(1, SCORES_AT_ONCE // BLOCK_ROWS)
    nearest = [_Nearest(queries[start : start + step], k) for start in range(0, len(queries), step)]
    scratch = np.empty(min(step, len(queries)) * BLOCK_ROWS, np.float32)  # allocating it again would cost page faults
    for block in rows.blocks():
        vectors = comparable(block.vectors, asked.similarity)
        length = longest(vectors)
        for part in nearest:
            part.add(block.ids, vectors, length, scratch)
        progress(len(block.ids))
    return Hits(pa.concat_arrays([part.ids() for part in nearest]), np.concatenate([part.scores() for part in nearest]))


def _better(k: int, one: Hits, other: Hits) -> Hits:
    """The k best hits of each query among those of two parts of the rows."""
    both = (one.scores, other.scores)
    query = np.concatenate([np.repeat(np.arange(len(scores)), scores.shape[1]) for scores in both])
    scores = np.concatenate([scores.reshape(-1) for scores in both])
    ids = pa.concat_arrays([one.ids, other.ids])
    count = sum(scores.shape[1] for scores in both)
    best = np.lexsort((ranked(ids), -scores, query)).reshape(-1, count)[:, :k]
    return Hits(ids.take(pa.array(best.reshape(-1))), scores[best])


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

    def add(self, ids: pa.Array, vectors: Matrix, length: float, scratch: Scores) -> None:
        """Look at the rows of a block, the longest of which has this length.

        Args:
            scratch: memory for the products.
        """
        products = scratch[: len(self._queries) * len(vectors)].reshape(-1, len(vectors))
        with np.errstate(over="ignore", invalid="ignore"):
            np.matmul(self._queries, vectors.T, out=products)
        if self._scale * length > LARGEST / 2:
            refuse_too_large(products, ids)
        bound = self._scale * length
        slack = rounding(vectors.shape[1], bound, np.float32) + SCORE_ROUNDING * bound
        bar = np.maximum(self._worst.astype(np.float64) - slack, self._first_bar(products, slack))
        flat = (products >= _float32_below(bar)[:, None]).reshape(-1).nonzero()[0]
        query, column = np.divmod(flat, len(vectors))
        query, column = self._fewer(products, query, column, slack)
        for start in range(0, len(query), SCORES_AT_ONCE // 16):
            part = slice(start, start + SCORES_AT_ONCE // 16)
            exact = exact_scores(self._queries, vectors, query[part], column[part], ids)
            self._merge(query[part], exact, ids.take(pa.array(column[part])))

    def _first_bar(self, products: Scores, slack: float) -> NDArray[np.float64]:
        """(Q,) a product that each hit reaches, by some rows of this block; -inf where a bar is known already.

        Let p be the k-th largest product. k rows have exact scores of at least p - slack, and a row whose product is
        below p - 2 slack scores less.
        """
        bar = np.full(len(products), -np.inf)
        some = products[:, : max(FIRST_ROWS, 4 * self._k)]
        unknown = np.flatnonzero(np.isinf(self._worst))
        if some.shape[1] > self._k and len(unknown):
            bar[unknown] = _kth(some[unknown], self._k) - 2 * slack
        return bar

    def _fewer(self, products: Scores, query: Places, column: Places, slack: float) -> tuple[Places, Places]:
        """The candidates; for a query with many, without those that better rows of the same block rule out."""
        counts = np.bincount(query, minlength=len(products))
        bar = np.full(len(products), -np.inf)
        for one in np.flatnonzero(counts > max(MANY, 4 * self._k)):
            bar[one] = _kth(products[one : one + 1], self._k)[0] - 2 * slack
        kept = products[query, column] >= bar[query]
        return query[kept], column[kept]

    def _merge(self, query: NDArray[np.int64], scores: NDArray[np.float32], ids: pa.Array) -> None:
        touched = np.zeros(len(self._queries), bool)
        touched[query] = True
        again = touched[self._of]
        kept_ids = ids if self._ids is None else pa.concat_arrays([self._ids.filter(pa.array(again)), ids])
        query = np.concatenate([self._of[again], query])
        scores = np.concatenate([self._scores[again], scores])
        order = np.lexsort((ranked(kept_ids), -scores, query))
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


def _kth(products: Scores, k: int) -> NDArray[np.float64]:
    """(q,) the k-th largest of each row."""
    at = products.shape[1] - k
    kth: NDArray[np.float64] = np.partition(products, at, axis=1)[:, at].astype(np.float64)
    return kth


def _float32_below(bar: NDArray[np.float64]) -> Scores:
    """Numbers that float32 holds and that are not above these."""
    below: Scores = np.nextafter(bar.astype(np.float32), np.float32(-np.inf))
    return below
