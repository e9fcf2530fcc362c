"""Ranks of the relevant rows under every query vector, on the stored rows and on rows that were encoded again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skipfill.compat.evaluation.per_query import PerQuery, distribution, grades_of, rankings, score_counts, values_of
from skipfill.compat.evaluation.statistics.bootstrap import Values
from skipfill.compat.evaluation.statistics.score_histogram import ScoreCounts
from skipfill.compat.gate.context import CheckContext
from skipfill.compat.gate.queries import QuerySet
from skipfill.compat.gate.reencodable import ReencodableRows
from skipfill.compat.gate.vectors import QueryVectors
from skipfill.compat.inference.encode import encode_all
from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.metrics.registry import ALWAYS, named_metrics
from skipfill.compat.reranking.new_vectors import NewVectorSource
from skipfill.compat.reranking.two_stages import TwoStages
from skipfill.store.checks.names import CEILING, NEW_NEW, NEW_OLD, OLD_OLD
from skipfill.store.checks.scores import ScoreDistribution
from skipfill.store.engine.engine import LOCAL
from skipfill.store.parquet.ids import IdSet
from skipfill.store.parquet.stored_rows import StoredRows
from skipfill.store.parquet.vectors import Matrix, Similarity
from skipfill.store.retrieval.ranks import RelevantRanks, ranks_of_sets

MOST_NAMED = 4
"""The most sets of query vectors that a progress bar names one by one."""


@dataclass(frozen=True)
class StoredRanks:
    """Results of the queries among the stored rows.

    Attributes:
        values: pair -> metric -> (Q,) values.
        scores: the distribution of the scores of each pair.
        counts: pair -> the scores counted by query, where thresholds are to be transferred; else nothing.
        grades: of each of Q queries, (R,) those of its relevant rows, in no particular order; the same for every pair.
        of_sample: the values among only the rows that can be encoded again, where these are not all the rows.
        stages: pair -> both stages of its answers, where a model re-ranks.
    """

    values: PerQuery
    scores: list[ScoreDistribution]
    counts: dict[str, ScoreCounts]
    grades: list[NDArray[np.float32]] = field(default_factory=list)
    of_sample: PerQuery = field(default_factory=dict)
    stages: dict[str, TwoStages] = field(default_factory=dict)


def rank_stored_rows(
    context: CheckContext, queries: QuerySet, vectors: QueryVectors, reencodable: ReencodableRows
) -> dict[int, StoredRanks]:
    """Rank the stored rows by the query vectors of every pair; in the same passes, those that can be encoded again.

    Returns:
        The ranks by the number of candidates that the new model re-ranks; 0 where its view alone ranks.
    """
    ranker = Ranker(context, queries)
    rows, items = context.gallery.rows, reencodable.items
    sample = items.ids if items is not None and len(items) < rows.count and not context.ks else None
    stored = StoredRanks({}, [], {})
    ranked = ranker.ranks(vectors.ranking, rows, context.gallery.space.metric, sample)
    again = {pair: two_stages(context, queries, vectors, pair, reencodable) for pair in vectors.reranked}
    for pair, ranks in ranked.items():
        if pair in again:
            continue
        stored.values[pair] = ranker.values(ranks)
        if ranks.of_sample is not None:
            stored.of_sample[pair] = ranker.values(ranks.of_sample)
        stored.scores.append(distribution(pair, ranks))
        if context.inputs.thresholds and pair in (OLD_OLD, NEW_OLD):
            stored.counts[pair] = score_counts(ranks)
        stored.grades[:] = grades_of(ranks)
    if not again:
        return {0: stored}
    return {k: _reranked(ranker, stored, again, vectors, ranked, k) for k in context.ks or (0,)}


def two_stages(
    context: CheckContext, queries: QuerySet, vectors: QueryVectors, pair: str, reencodable: ReencodableRows
) -> TwoStages:
    """The candidates of a pair that a model re-ranks, and their new vectors."""
    stage = vectors.reranked[pair]
    keep = context.inputs.keep and pair == NEW_OLD
    items = reencodable.items
    source = NewVectorSource(context.objects, context.gallery.name, stage.model, items, keep, context.progress)
    finding = vectors.by_pair[OLD_OLD if stage.candidates == "old" else pair]
    return TwoStages.of(context.gallery, finding, stage.own, stage.ks[0], source, queries.ids, engine=context.engine)


def _reranked(
    ranker: Ranker,
    stored: StoredRanks,
    again: dict[str, TwoStages],
    vectors: QueryVectors,
    ranked: dict[str, RelevantRanks],
    k: int,
) -> StoredRanks:
    """The ranks where the new model re-ranks `k` candidates, and the released one as many as were released."""
    values = dict(stored.values)
    for pair, stages in again.items():
        stage = vectors.reranked[pair]
        order = stages.order(k if pair == NEW_OLD else stage.ks[0])
        values[pair] = ranker.values(order.ranks(ranked[OLD_OLD if stage.candidates == "old" else pair]))
    return replace(stored, values={pair: values[pair] for pair in vectors.by_pair}, stages=again)


def rank_reencoded_rows(
    context: CheckContext, queries: QuerySet, rows: ReencodableRows, stored: StoredRanks
) -> PerQuery:
    """old/old, new/old, new/new and the ceiling on the rows that can be encoded again; empty without such rows.

    old/old and new/old are those among these rows alone, so that the update gain compares like with like.
    """
    if context.ks:
        context.warnings.append(
            "new/new and update gain are not measured with re-ranking: for them, every row must be encoded again"
        )
        return {}
    if rows.items is None:
        context.warnings.append("new/new and update gain are not measured: no items of the gallery's rows were given")
        return {}
    ranker = Ranker(context, queries)
    among = stored.of_sample or stored.values
    values = {pair: among[pair] for pair in (OLD_OLD, NEW_OLD)}
    if stored.of_sample:
        context.warnings.append(
            f"new/new and update gain are measured on the {len(rows)} of {context.gallery.rows.count} gallery rows "
            "whose items are given"
        )
    values[NEW_NEW] = ranker.reindexed(context.model, queries.vectors, rows)
    if context.ceiling is not None:
        values[CEILING] = ranker.reindexed(
            context.ceiling, encode_all(context.ceiling, queries.items, context.progress, engine=context.engine), rows
        )
    return values


@dataclass(frozen=True)
class Ranker:
    """Turns query vectors into ranks, and ranks into per-query values of every metric."""

    context: CheckContext
    queries: QuerySet

    def ranks(
        self, sets: dict[str, Matrix], rows: StoredRows, similarity: Similarity, sample: pa.Array | None = None
    ) -> dict[str, RelevantRanks]:
        """The ranks under each set of query vectors, by its name.

        Args:
            sample: ids of rows; the ranks among only these are found too.
        """
        stage = ", ".join(sets) if len(sets) <= MOST_NAMED else f"{next(iter(sets))} to {list(sets)[-1]}"
        pairs = 2 * rows.count + (0 if sample is None else len(sample))
        self.context.progress.start(stage, len(sets) * len(self.queries.items) * pairs)
        ids, truth, advance = self.queries.ids, self.queries.relevance, self.context.progress.advance
        some = None if sample is None else IdSet.of([sample])
        engine = self.context.engine if rows is self.context.gallery.rows else LOCAL  # workers lack rows encoded again
        ranked = ranks_of_sets(rows, ids, truth, list(sets.values()), similarity, advance, some, engine)
        return dict(zip(sets, ranked, strict=True))

    def values(self, ranks: RelevantRanks) -> dict[str, Values]:
        """(Q,) values of the metric that decides and of those of every check, by the name of the metric."""
        return values_of(rankings(ranks), named_metrics((self.context.policy.metric, *ALWAYS)))

    def reindexed(self, model: LoadedModel, vectors: Matrix, rows: ReencodableRows) -> dict[str, Values]:
        """The values when gallery and queries are both encoded by `model`.

        Args:
            vectors: (Q, D) of the queries by this model, in its own space.
            rows: gallery rows, which are encoded if they are not yet.
        """
        [ranks] = self.ranks(
            {f"{model.card.name}/{model.card.name}": vectors}, rows.encoded_by(model), "cosine"
        ).values()
        return self.values(ranks)
