"""Exact nearest rows of a gallery, streamed: memory holds a block of rows, and K hits a query. Ties: smaller id."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial, reduce

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skipfill.store.engine.engine import LOCAL, Engine
from skipfill.store.engine.threads import product_threads
from skipfill.store.parquet.ids import ranked
from skipfill.store.parquet.parts import map_rows
from skipfill.store.parquet.stored_rows import Block, StoredRows
from skipfill.store.parquet.vectors import Matrix, Similarity
from skipfill.store.retrieval.candidates import Floors, RoughProducts, RowsAtOnce
from skipfill.store.retrieval.products import (
    Places,
    Scores,
    comparable,
    shared_exact_scores,
)

QUERIES_AT_ONCE = 1_024
"""Queries whose products with some rows are held at once."""
PAIRS_AT_ONCE = 2**19
"""Pairs of a query and a row that are scored exactly at once."""


@dataclass(frozen=True)
class Hits:
    """The K nearest rows of each of Q queries, best first; of equal scores, the smaller id first.

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
    rough: RoughProducts | None = None,
) -> Hits:
    """The `k` rows (all, if there are fewer) with the highest score for each query.

    A matrix product finds the candidates: the rows that are not below the k-th hit so far by more than the rounding of
    the product. These are scored again in float64, because the rounding depends on where a row lies in its block, and
    equal rows must tie.

    Args:
        queries: (Q, D) float32, Q at least 1.
        k: at least 1.
        progress: called with the number of rows read since the last call.
        engine: runs the search of parts of the rows, unless only rows of some ids are searched.
        rough: how to multiply; None for float32. The hits are the same.

    Raises:
        BadInput: an inner product is too large for float32.
    """
    asked = _Asked(comparable(queries, similarity), k, similarity, rough)
    parts = map_rows(_search, rows, asked, engine if rows.keep is None else LOCAL, progress)
    return reduce(partial(_better, k), parts)


@dataclass(frozen=True)
class _Asked:
    """Q queries, comparable with rows, and how many hits each is to find."""

    queries: Matrix
    k: int
    similarity: Similarity
    rough: RoughProducts | None


def _search(rows: StoredRows, asked: _Asked, progress: Callable[[int], None]) -> Hits:
    queries, k = asked.queries, min(asked.k, rows.count)
    parts = [queries[start : start + QUERIES_AT_ONCE] for start in range(0, len(queries), QUERIES_AT_ONCE)]
    memory = RowsAtOnce(min(len(queries), QUERIES_AT_ONCE), k, rows.dim, asked.similarity)
    with product_threads() as threads, asked.rough.one_thread() if asked.rough else nullcontext():
        nearest = [_Nearest(part, k, asked.similarity, threads, asked.rough) for part in parts]
        for block in rows.blocks():
            for start in range(0, len(block.ids), memory.count):
                some = slice(start, start + memory.count)
                vectors = memory.vectors(block, some)
                for part in nearest:
                    part.look_at(block, some, vectors, memory.products)
            for part in nearest:
                part.take(block)
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
    """The best rows so far of a few queries, as flat arrays; those of a query are together, the best first.

    The queries are in the order in which their rows last changed; `ids` and `scores` put them in their own.
    """

    def __init__(
        self, queries: Matrix, k: int, similarity: Similarity, threads: ThreadPoolExecutor, rough: RoughProducts | None
    ) -> None:
        self._queries, self._k, self._similarity, self._threads = queries, k, similarity, threads
        self._floors = Floors(queries, k, threads, rough)
        self._waiting: list[tuple[Places, Places]] = []
        self._of = np.empty(0, np.int64)
        self._scores = np.empty(0, np.float32)
        self._ids: pa.Array | None = None

    def look_at(self, block: Block, some: slice, vectors: Matrix, memory: Scores) -> None:
        """Look at some rows of a block; those that may be hits wait for `take`.

        Args:
            vectors: of these rows, comparable with queries.
            memory: for their products: see `Floors.reaching`.
        """
        dim = vectors.shape[1]
        # The length of a normalised row is rounded too: it may be above 1.
        unit = np.full(len(vectors), 1 + (dim + 4) * 2.0**-24, np.float32)
        lengths = block.lengths[some] if self._similarity == "ip" else unit
        query, row = self._floors.reaching(vectors, lengths, block.ids.slice(some.start, len(vectors)), memory)
        self._waiting.append((query, row + some.start))
        most = min(PAIRS_AT_ONCE, self._k * len(self._queries))
        if sum(len(query) for query, _ in self._waiting) > most:
            self.take(block)

    def take(self, block: Block) -> None:
        """Score the waiting rows of a block exactly, and keep those that are hits."""
        if not self._waiting:
            return
        queries, rows = (np.concatenate(places) for places in zip(*self._waiting, strict=True))
        self._waiting.clear()
        for start in range(0, len(queries), PAIRS_AT_ONCE):
            query, row = queries[start : start + PAIRS_AT_ONCE], rows[start : start + PAIRS_AT_ONCE]
            chosen, place = np.unique(row, return_inverse=True)
            vectors = comparable(block.vectors[chosen], self._similarity, block.lengths[chosen])
            ids = block.ids.take(pa.array(chosen))
            scores = shared_exact_scores(self._threads, self._queries, vectors, query, place, ids)
            self._merge(query, scores, ids.take(pa.array(place)))

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
        reached, worst = query[ends[full]], scores[ends[full]].astype(np.float64)
        self._floors.scores[reached] = np.maximum(self._floors.scores[reached], worst)
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
