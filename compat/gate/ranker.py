"""The measurements of a check: every query vector ranked over stored rows, and over rows that were encoded again."""

from __future__ import annotations

from dataclasses import dataclass

from skipfill.compat.evaluation.per_query import rankings, values_of
from skipfill.compat.evaluation.statistics.bootstrap import Values
from skipfill.compat.gate.evidence import PerQuery
from skipfill.compat.gate.queries import QuerySet
from skipfill.compat.gate.reencoded import ReencodableRows
from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.metrics.ranking import Metric
from skipfill.compat.progress import Progress
from skipfill.store.galleries.gallery import Gallery
from skipfill.store.parquet.stored_rows import StoredRows
from skipfill.store.parquet.vectors import Matrix, Similarity
from skipfill.store.retrieval.ranks import Queries, RelevantRanks, relevant_ranks


@dataclass(frozen=True)
class Ranker:
    """Turns query vectors into ranks, and ranks into per-query values of every metric."""

    asked: QuerySet
    metrics: dict[str, Metric]
    progress: Progress

    def ranks(self, pair: str, vectors: Matrix, rows: StoredRows, metric: Similarity) -> RelevantRanks:
        self.progress.start(pair, 2 * len(vectors) * rows.count)
        queries = Queries(self.asked.ids, self.asked.truth, vectors)
        return relevant_ranks(rows, queries, metric, self.progress.advance)

    def values(self, found: RelevantRanks) -> dict[str, Values]:
        return values_of(rankings(found), self.metrics)

    def reindexed(self, model: LoadedModel, vectors: Matrix, at_hand: ReencodableRows) -> dict[str, Values]:
        """The values when gallery and queries are both encoded by `model`; `vectors` are the queries'."""
        pair = f"{model.card.name}/{model.card.name}"
        return self.values(self.ranks(pair, vectors, at_hand.by(model), "cosine"))

    def on_rows_at_hand(
        self, gallery: Gallery, at_hand: ReencodableRows, stored: PerQuery, vectors: dict[str, Matrix]
    ) -> PerQuery:
        """old/old and new/old on the rows at hand, so that the update gain compares like with like."""
        pairs = ("old/old", "new/old")
        if len(at_hand) == gallery.rows.count:
            return {pair: stored[pair] for pair in pairs}
        assert at_hand.items is not None
        part = gallery.rows.restricted(at_hand.items.ids, len(at_hand))
        return {
            pair: self.values(self.ranks(f"{pair}, sample", vectors[pair], part, gallery.space.metric))
            for pair in pairs
        }
