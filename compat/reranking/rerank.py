"""Candidates re-ordered by a newer model: their new scores, and the new ranks of relevant rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skipfill.compat.reranking.candidates import CandidateRows
from skipfill.compat.reranking.new_vectors import NewVectors
from skipfill.compat.reranking.order import reordered
from skipfill.store.parquet.ids import ranked
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.retrieval.products import comparable, exact_scores
from skipfill.store.retrieval.ranks import RelevantRanks
from skipfill.store.retrieval.search import Hits


@dataclass(frozen=True)
class Order:
    """The order of the K candidates of each of Q queries after re-ranking.

    Attributes:
        candidates: the candidates in their old order.
        scores: (Q, K) by the newer model; without a new vector, in the gallery's space.
        known: (Q, K) bool, whether a candidate has a new vector.
        order: (Q, K) the place that the candidate at each new place had.
    """

    candidates: CandidateRows
    scores: NDArray[np.float32]
    known: NDArray[np.bool_]
    order: NDArray[np.intp]

    def hits(self, k: int) -> tuple[Hits, NDArray[np.bool_]]:
        """The first `k` candidates in their new order, and (Q, k) whether the newer model scored each."""
        order = self.order[:, :k]
        rows = np.take_along_axis(self.candidates.rows, order, axis=1)
        scores = np.take_along_axis(self.scores, order, axis=1)
        ids = self.candidates.ids.take(pa.array(rows.reshape(-1)))
        return Hits(ids, scores), np.take_along_axis(self.known, order, axis=1)

    def ranks(self, old: RelevantRanks) -> RelevantRanks:
        """The ranks of the relevant rows after re-ranking, from their ranks in the search that found the candidates.

        A relevant row is a candidate exactly if its rank is at most K. After K, the old order stays. Scores stay as
        they were, because those of two spaces cannot be compared.
        """
        places = np.argsort(self.order, axis=1)
        ranks, grades = [], []
        for query, before in enumerate(old.ranks):
            inside = before <= self.candidates.k
            after = before.copy()
            after[inside] = places[query, before[inside] - 1] + 1
            best_first = np.argsort(after, kind="stable")
            ranks.append(after[best_first])
            if old.grades is not None:
                grades.append(old.grades[query][best_first])
        return replace(old, ranks=ranks, grades=grades if old.grades is not None else None)


def rerank(candidates: CandidateRows, queries: Matrix, new: NewVectors, k: int) -> Order:
    """Order candidates by the cosine of their new vectors with the new queries; at equal scores, by the smaller id.

    A candidate without a new vector keeps its place, and the others are re-ordered among the remaining places.

    Args:
        queries: (Q, D) by the newer model, in its own space.
        new: vectors of the rows, in the order of `candidates.ids`.
        k: how many of the rows are candidates; the rows after them keep their places.
    """
    there = candidates.there
    known = there & new.known[candidates.rows]
    known[:, k:] = False
    query, place = np.nonzero(known)
    rows = candidates.rows[query, place]
    scores = candidates.scores.copy()
    if len(rows):
        scores[query, place] = exact_scores(comparable(queries, "cosine"), new.vectors, query, rows, candidates.ids)
    id_order = np.where(there, ranked(candidates.ids)[candidates.rows], 0) if len(candidates.ids) else candidates.rows
    return Order(candidates, scores, known, reordered(scores, known, id_order))
