"""Answers in two stages: candidates by a ranking in the gallery's space, and their new vectors."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from skipfill.compat.inference.bfloat16 import rough_products
from skipfill.compat.reranking.candidates import CandidateRows
from skipfill.compat.reranking.new_vectors import NewVectors, NewVectorSource
from skipfill.compat.reranking.rerank import Order, rerank
from skipfill.store.engine.engine import LOCAL, Engine
from skipfill.store.galleries.gallery import Gallery
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.retrieval.search import search


@dataclass(frozen=True)
class TwoStages:
    """Both stages of Q queries, for any number of candidates up to K.

    Attributes:
        candidates: the first K rows of each query.
        own: (Q, D) the queries by the newer model, in its own space.
        new: vectors of the candidates by the newer model.
    """

    candidates: CandidateRows
    own: Matrix
    new: NewVectors

    @classmethod
    def of(
        cls,
        gallery: Gallery,
        vectors: Matrix,
        own: Matrix,
        k: int,
        source: NewVectorSource,
        ids: pa.Array,
        *,
        reranked: int = 0,
        engine: Engine = LOCAL,
    ) -> TwoStages:
        """Search for the first rows, and look up their new vectors or encode those that are missing.

        Args:
            vectors: (Q, d) of the queries in the gallery's space, which find them.
            k: how many rows to find for each query.
            ids: (Q,) of the queries; a row with the same id is left out. NULL for queries that are not rows.
            reranked: how many of these rows are candidates; 0 for all. New vectors are found only for these.
            engine: searches the gallery.
        """
        progress, rows = source.progress, gallery.rows
        progress.start(f"finding {k:,} candidates", rows.count)
        rough = rough_products(vectors, rows.count)
        hits = search(rows, vectors, k + 1, gallery.space.metric, progress.advance, engine, rough)
        candidates = CandidateRows.of(hits, ids, k)
        return cls(candidates, own, source.of(candidates.ids, candidates.among_first(reranked or k)))

    def order(self, k: int, width: int = 0) -> Order:
        """The order after re-ranking the first `k` candidates: of these, or of `width` rows if that is given."""
        return rerank(self.candidates.first(width or k), self.own, self.new, k)
