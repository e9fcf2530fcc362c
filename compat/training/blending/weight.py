"""The weight of the new query in a blend, chosen by held-out queries with exact retrieval on the gallery."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from skipfill.compat.evaluation.statistics.bootstrap import Values, interval, resampled_means
from skipfill.compat.evaluation.statistics.standard_error import within_one_error
from skipfill.compat.evaluation.statistics.tilted_bootstrap import Clusters
from skipfill.compat.gate.admission.registry import OF_CHECK
from skipfill.compat.gate.context import CheckContext
from skipfill.compat.gate.inputs import CheckInputs
from skipfill.compat.gate.queries import QuerySet, build_query_set
from skipfill.compat.gate.ranks import Ranker
from skipfill.compat.gate.reencodable import ReencodableRows
from skipfill.compat.gate.slices import group_queries
from skipfill.compat.gate.vectors import query_vectors
from skipfill.compat.inference.network import Blend
from skipfill.compat.progress import Progress
from skipfill.store.checks.names import NEW_OLD, OLD_OLD
from skipfill.store.checks.policy import Policy
from skipfill.store.checks.report import Interval
from skipfill.store.errors import Advice, NotAcceptable
from skipfill.store.parquet.items import Items
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.spaces import Space
from skipfill.store.storage.object_store import ObjectStore

GUESS = 0.4
"""Without judged or labelled queries: .3 and .5 were above staying in five of six measured upgrades."""
GRID = tuple(tenth / 10 for tenth in range(11))
RESAMPLES, SEED = 2_000, 0


@dataclass(frozen=True)
class Measured:
    """One weight of the grid, measured.

    Attributes:
        weight: of the new query; 0 is the old query alone, as now, and 1 the new one alone.
        mean: of the metric over the queries.
        change: from weight 0, with its interval.
    """

    weight: float
    mean: float
    change: Interval


@dataclass(frozen=True)
class ChosenWeight:
    """A weight and what chose it.

    Attributes:
        weight: above 0.
        metric: that decided.
        grid: every weight that was tried.
        queries: how many were measured.
        items: all that were given; no check of the model may take them.
        warnings: what the queries' admission found.
    """

    weight: float
    metric: str
    grid: list[Measured]
    queries: int
    items: Items
    warnings: list[str]


def choose_weight(
    objects: ObjectStore, gallery: str, new: str, inputs: CheckInputs, policy: Policy, progress: Progress
) -> ChosenWeight:
    """The weight of a blend of model `new` with the old query vectors of `gallery`, by `best_weight`.

    The queries are admitted as those of a check, and the old vectors come from where a check takes them.

    Raises:
        BadInput: no ground truth, no old query vectors, or queries that cannot be evidence: see `check_model`.
        NotAcceptable: no weight above 0 is better than the old query alone.
    """
    context = CheckContext.opened(objects, gallery, new, inputs, policy, progress)
    context.record(rule(context) for rule in OF_CHECK.values())
    with ReencodableRows.opened(context) as reencodable:
        queries = build_query_set(context, reencodable)
        by_pair = query_vectors(context, queries).by_pair
    clusters = group_queries(context, queries).clusters
    results = _results(context, queries, by_pair)
    weight = best_weight(results, clusters)
    context.confirm_files()
    if weight == 0:
        best = max(GRID, key=lambda one: float(results[one].mean()))
        change = results[best] - results[0.0]
        raise NotAcceptable(
            f"model {new}: expected a weight at which its queries help, found none: {policy.metric} is "
            f"{results[0.0].mean():.3f} without it, and at best {change.mean():+.3f} with it (weight {best:g}, "
            f"{len(change)} queries)",
            Advice("stay_or_give_weight"),
        )
    grid = [_measured(one, values, results[0.0], clusters, policy) for one, values in results.items()]
    given = context.open_items(inputs.items)
    warnings = [*context.warnings, *_doubts(context, clusters)]
    return ChosenWeight(weight, policy.metric, grid, len(queries.items), given, warnings)


def best_weight(results: dict[float, Values], clusters: NDArray[np.int64]) -> float:
    """The weight with the best mean, of equal ones the smallest; 0 where it is not a standard error above that of 0.

    Args:
        results: weight -> (Q,) results; 0 is among the weights.
        clusters: (Q,) queries of the same number are one piece of evidence. One alone chooses nothing.
    """
    best = max(sorted(results), key=lambda one: float(results[one].mean()))
    change = Clusters.of(results[best] - results[0.0], clusters)
    return 0.0 if within_one_error(change) else best


def _doubts(context: CheckContext, clusters: NDArray[np.int64]) -> list[str]:
    """Reasons why the same queries would be too weak for a check, in sentences."""
    count, least = len(np.unique(clusters)), context.policy.least_queries
    few = [f"{count} queries chose the weight; a check of this gallery needs at least {least}"] if count < least else []
    return [*few, *(f"expected {finding.claim}, found: {finding.found}" for finding in context.findings)]


def _results(context: CheckContext, queries: QuerySet, by_pair: dict[str, Matrix]) -> dict[float, Values]:
    """Weight -> (Q,) results, of all weights in one pass over the gallery."""
    space, metric, ranker = context.gallery.space, context.policy.metric, Ranker(context, queries)
    sets = {f"weight {weight:g}": mixed_queries(space, by_pair, weight) for weight in GRID}
    ranked = ranker.ranks(sets, context.gallery.rows, space.metric)
    return {weight: ranker.values(ranks)[metric] for weight, ranks in zip(GRID, ranked.values(), strict=True)}


def mixed_queries(space: Space, by_pair: dict[str, Matrix], weight: float) -> Matrix:
    """(Q, d) the new queries mixed with the old ones, in the gallery's space."""
    new, old = (torch.from_numpy(by_pair[pair]) for pair in (NEW_OLD, OLD_OLD))
    mixed: Matrix = Blend(space.name, space.dim, weight).mixed(new, old, None).numpy()
    return mixed


def _measured(weight: float, values: Values, staying: Values, clusters: NDArray[np.int64], policy: Policy) -> Measured:
    change = values - staying
    resampled = resampled_means(change[:, None], RESAMPLES, SEED, clusters)[:, 0]
    return Measured(weight, float(values.mean()), interval(float(change.mean()), resampled, policy.confidence))
