"""Re-ranking for a service with its own index: the candidates of one query, by their ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Thread
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skipfill.compat.inference.given import given_block
from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.reranking.fresh_vectors import Found, FreshVectors
from skipfill.compat.reranking.order import reordered
from skipfill.store.errors import BadInput
from skipfill.store.parquet.digests.item_digests import block_digests
from skipfill.store.parquet.ids import id_type, plain, ranked
from skipfill.store.parquet.items import ItemBlock
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.retrieval.products import comparable, exact_scores

RowItems = Sequence[str | None] | Sequence[bytes | None] | NDArray[np.floating]
"""Items of rows: texts, encoded images, or a matrix of features; None in a list where there is none."""
Fetch = Callable[[list[Any]], RowItems]
"""Takes ids and returns the items of these rows, in the same order."""


@dataclass(frozen=True)
class RerankedCandidates:
    """The candidates of one query in their new order.

    Attributes:
        ids: (K,) best first.
        scores: (K,) float32 cosines by the newer model; NaN where it has no vector. Scores of other
            models cannot be compared with them.
        by_new_model: (K,) bool, whether it scored the candidate. Candidates without a score keep their places.
    """

    ids: list[Any]
    scores: NDArray[np.float32]
    by_new_model: NDArray[np.bool_]

    @classmethod
    def as_they_came(cls, ids: Sequence[Any]) -> RerankedCandidates:
        """Candidates in the order in which they came."""
        return cls(list(ids), np.full(len(ids), np.nan, np.float32), np.zeros(len(ids), np.bool_))


@dataclass(frozen=True)
class CandidateReranker:
    """Re-orders candidates by a newer model. Threads may share it.

    Attributes:
        k: the number of candidates that are re-ordered; those after them keep their places.
        fresh: vectors of rows.
        fetch: gets the items of rows that have no vector; None if there is no such function.
    """

    model: LoadedModel
    k: int
    fresh: FreshVectors
    fetch: Fetch | None

    def reranked(self, query: Matrix, candidate_ids: Sequence[Any], items: RowItems | None) -> RerankedCandidates:
        """Re-order the candidates of a query.

        Args:
            query: (1, D) by the model, in its own space.
            candidate_ids: (K,) ids of rows, best first by the old ranking.
            items: (K,) of these rows; a row whose item has changed is then encoded again. None: fetched if needed.

        Raises:
            BadInput: something that is not a list of ids, or not a list of items.
        """
        column = _ids(candidate_ids)
        first = column.slice(0, self.k)
        found = self._found(first, items)
        self._commit_in_the_background()
        known = np.zeros(len(column), np.bool_)
        known[: len(first)] = found.known
        scores = np.full(len(column), np.nan, np.float32)
        at = np.flatnonzero(known)
        if len(at):
            vectors, pairs = comparable(found.vectors[at], "cosine"), np.arange(len(at))
            scores[at] = exact_scores(comparable(query, "cosine"), vectors, np.zeros_like(pairs), pairs, first.take(at))
        order = reordered(scores, known, ranked(column))
        return RerankedCandidates([candidate_ids[one] for one in order], scores[order], known[order])

    def _found(self, ids: pa.Array, items: RowItems | None) -> Found:
        """Vectors of rows: those that are there, and those that can be encoded now."""
        if items is not None:
            return self._by_items(ids, items)
        found = self.fresh.find(ids)
        lacking = np.flatnonzero(~found.known)
        if self.fetch is None or not len(lacking):
            return found
        asked = ids.take(pa.array(lacking))
        block, there = self._block(self.fetch(asked.to_pylist()), asked)
        if block is None:
            return found
        at = lacking[there]
        found.vectors[at], found.known[at] = self._encoded(block), True
        return found

    def _by_items(self, ids: pa.Array, items: RowItems) -> Found:
        """Vectors of rows whose items are given, of exactly this content; without an item, the newest vector."""
        block, there = self._block(items[: len(ids)], ids)
        found = self.fresh.find(ids)
        if block is None:
            return found
        here = self.fresh.find(block.ids, block_digests(block))
        if not here.known.all():
            here.vectors[~here.known] = self._encoded(block.filter(~here.known))
        found.vectors[there], found.known[there] = here.vectors, True
        return found

    def _encoded(self, block: ItemBlock) -> Matrix:
        vectors = self.model.encode_block(block)
        self.fresh.put(block.ids, block_digests(block), vectors)
        return vectors

    def _block(self, items: RowItems, ids: pa.Array) -> tuple[ItemBlock | None, NDArray[np.int64]]:
        """The given items as a block, and their places; None if no item is given."""
        if len(items) != len(ids):
            raise BadInput("items of candidates", expected=f"{len(ids)}, one an id", found=str(len(items)))
        given: Any = items
        places = np.arange(len(items))
        if not isinstance(items, np.ndarray):
            given = [one for one in items if one is not None]
            places = np.array([at for at, one in enumerate(items) if one is not None], np.int64)
        if not len(places):
            return None, places
        block = given_block(given, self.model, "items of candidates")
        return replace(block, ids=ids.take(pa.array(places))), places

    def _commit_in_the_background(self) -> None:
        if self.fresh.keep and self.fresh.due:
            Thread(target=self.fresh.commit_if_due, name="skipfill overlay").start()


def _ids(candidate_ids: Sequence[Any]) -> pa.Array:
    try:
        column = pa.array(candidate_ids)
    except (pa.ArrowException, TypeError) as error:
        raise BadInput("candidate_ids", expected="strings, or whole numbers", found=str(error)) from error
    if column.null_count:
        raise BadInput("candidate_ids", expected="an id each", found=f"{column.null_count} None")
    return plain(column, id_type(column.type, "candidate_ids"), "candidate_ids")
