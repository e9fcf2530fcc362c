"""Candidates for an upgrade: models compared on the same queries, each by the rules of a check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from skipfill.compat.evaluation.per_query import grades_of
from skipfill.compat.evaluation.statistics.bootstrap import Values
from skipfill.compat.gate.admission.registry import OF_BASELINE, OF_CHECK, OF_VECTORS
from skipfill.compat.gate.admission.room import Baseline
from skipfill.compat.gate.admission.ruling import Ruling
from skipfill.compat.gate.context import CheckContext
from skipfill.compat.gate.queries import QuerySet, build_query_set
from skipfill.compat.gate.ranks import Ranker, two_stages
from skipfill.compat.gate.reencodable import ReencodableRows
from skipfill.compat.gate.slices import Grouping, group_queries
from skipfill.compat.gate.vectors import QueryVectors, new_vectors, query_vectors
from skipfill.compat.reranking.new_vectors import NewVectorSource
from skipfill.compat.reranking.two_stages import TwoStages
from skipfill.store.checks.names import NEW_OLD, OLD_OLD, RELEASED_OLD
from skipfill.store.errors import Advice, BadInput, Parameter
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.retrieval.ranks import RelevantRanks

MOST_CANDIDATES = 500
"""Most rows that are re-ranked for a query."""


@dataclass(frozen=True)
class Candidate:
    """A model that might serve the queries, with the results of staying on the same queries.

    Attributes:
        queries: the Q queries that every candidate admits.
        vectors: pair -> (Q, d) query vectors in the gallery's space.
        staying: pair -> (Q,) results among all stored rows, in the metric that decides: for old/old, and for
            released/old if a third model is released.
        baseline: the results of old/old, for the rules of admission.
        old_serves: whether queries in production can have an old vector: the old model makes it, or queries bring it.
    """

    context: CheckContext
    queries: QuerySet
    grouping: Grouping
    vectors: QueryVectors
    staying: dict[str, Values]
    baseline: Baseline
    reencodable: ReencodableRows
    old_serves: bool

    @property
    def name(self) -> str:
        return self.context.model.card.name

    @property
    def ranker(self) -> Ranker:
        return Ranker(self.context, self.queries)

    @cached_property
    def ranks_of_candidates(self) -> RelevantRanks:
        """Ranks by the queries that find the rows to re-rank: the old queries, or the new ones in their view."""
        gallery, pair = self.context.gallery, self.pair_of_candidates
        return self.ranker.ranks({pair: self.vectors.by_pair[pair]}, gallery.rows, gallery.space.metric)[pair]

    @property
    def pair_of_candidates(self) -> str:
        return OLD_OLD if self.context.candidates == "old" else NEW_OLD

    @cached_property
    def two_stages(self) -> TwoStages:
        """The rows that each query finds first, and their new vectors: from the given items, or from the overlay."""
        context, rows = self.context, self.reencodable
        encoded = None if rows.items is None else rows.encoded_by(context.model)
        source = NewVectorSource(
            context.objects, context.gallery.name, context.model, progress=context.progress, encoded=encoded
        )
        finding, most = self.vectors.by_pair[self.pair_of_candidates], min(MOST_CANDIDATES, context.gallery.rows.count)
        return TwoStages.of(context.gallery, finding, self.queries.vectors, most, source, self.queries.ids)

    def ranked(self, sets: dict[str, Matrix]) -> dict[str, Values]:
        """(Q,) results of each set of query vectors in the gallery's space, in one pass over all stored rows."""
        ranker, gallery = self.ranker, self.context.gallery
        ranked = ranker.ranks(sets, gallery.rows, gallery.space.metric)
        return {name: ranker.values(ranks)[self.context.policy.metric] for name, ranks in ranked.items()}


def candidates_of(
    contexts: Sequence[CheckContext], reencodable: ReencodableRows, *, old_serves: bool
) -> list[Candidate]:
    """The models of the contexts on the queries that all of them admit.

    Raises:
        BadInput: queries use a candidate already, or no query is admitted for all; see also `build_query_set`.
    """
    for context in contexts:
        _refuse_released(context)
        context.record(rule(context) for rule in OF_CHECK.values())
    sets = [build_query_set(context, reencodable) for context in contexts]
    common = [queries.in_all(sets) for queries in sets]
    if not common[0].any():
        names = ", ".join(context.model.card.name for context in contexts)
        raise BadInput(
            Parameter("items"), expected="queries that none of the candidates was trained on", found=f"none for {names}"
        )
    sets = [queries.restricted(mask) for queries, mask in zip(sets, common, strict=True)]
    known = len(contexts[0].findings)
    first = query_vectors(contexts[0], sets[0])
    of_baseline = Ruling(findings=contexts[0].findings[known:])
    for context in contexts[1:]:
        context.record([of_baseline])
    staying, baseline = _staying(contexts[0], sets[0], first, reencodable)
    made = []
    for context, queries in zip(contexts, sets, strict=True):
        by_pair = {**first.by_pair, NEW_OLD: new_vectors(context, queries, first.by_pair[OLD_OLD])}
        context.record(rule(context, by_pair) for rule in OF_VECTORS.values())
        context.record(rule(context, baseline) for rule in OF_BASELINE.values())
        vectors, grouping = replace(first, by_pair=by_pair), group_queries(context, queries)
        made.append(Candidate(context, queries, grouping, vectors, staying, baseline, reencodable, old_serves))
    return made


def _staying(
    context: CheckContext, queries: QuerySet, vectors: QueryVectors, reencodable: ReencodableRows
) -> tuple[dict[str, Values], Baseline]:
    ranker, gallery, metric = Ranker(context, queries), context.gallery, context.policy.metric
    sets = {pair: found for pair, found in vectors.ranking.items() if pair in (OLD_OLD, RELEASED_OLD)}
    ranked = ranker.ranks(sets, gallery.rows, gallery.space.metric)
    for pair, stage in vectors.reranked.items():
        order = two_stages(context, queries, vectors, pair, reencodable).order(stage.ks[0])
        ranked[pair] = order.ranks(ranked[OLD_OLD if stage.candidates == "old" else pair])
    values = {pair: ranker.values(ranks)[metric] for pair, ranks in ranked.items()}
    return values, Baseline(queries.lookup, values[OLD_OLD], grades_of(ranked[OLD_OLD]))


def _refuse_released(context: CheckContext) -> None:
    release = context.gallery.version.release
    if release is not None and release.fingerprint == context.model.card.fingerprint:
        raise BadInput(
            Parameter("candidate", context.model.card.name),
            expected=f"a model that queries of {context.gallery.name} do not use yet",
            found=f"{release}, released in version {context.gallery.version.released_at}",
            hint=Advice("released_already", gallery=context.gallery.name, model=context.model.card.name),
        )
