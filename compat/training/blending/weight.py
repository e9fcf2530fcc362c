"""The new model of a blend and its weight, chosen by held-out queries with exact retrieval on the gallery."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from skipfill.compat.evaluation.statistics.bootstrap import Values, interval, resampled_means
from skipfill.compat.evaluation.statistics.standard_error import within_one_error
from skipfill.compat.evaluation.statistics.tilted_bootstrap import Clusters
from skipfill.compat.gate.admission.near_copies import joined
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
from skipfill.store.errors import Advice, BadInput, NotAcceptable, Parameter
from skipfill.store.parquet.items import Items
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.spaces import Space
from skipfill.store.storage.object_store import ObjectStore

GUESS = 0.4
"""Weight where no judged or labelled queries are given. 0.3 and 0.5 beat the old model in five of six upgrades."""
GRID = tuple(tenth / 10 for tenth in range(11))
"""Weights of the new model that are measured: 0, 0.1, ... 1."""
RESAMPLES, SEED = 2_000, 0
T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True)
class Measured:
    """One weight of one new model, measured.

    Attributes:
        new: name of the model.
        weight: of the new query; 0 is the old query alone, as now, and 1 the new one alone.
        mean: mean of the metric over the queries.
        change: change of the mean from weight 0, with its interval.
    """

    new: str
    weight: float
    mean: float
    change: Interval


@dataclass(frozen=True)
class ChosenWeight:
    """The chosen model and weight, with the measurements that chose them.

    Attributes:
        new: name of the model.
        weight: its weight, above 0.
        metric: name of the metric that decided.
        grid: measurement of every model at every weight.
        queries: number of queries that were measured.
        items: all queries that were given. No check of the blend may use them.
        warnings: findings about the queries when they were admitted.
    """

    new: str
    weight: float
    metric: str
    grid: list[Measured]
    queries: int
    items: Items
    warnings: list[str]


def choose_weight(
    objects: ObjectStore,
    gallery: str,
    names: Sequence[str],
    inputs: CheckInputs,
    policy: Policy,
    progress: Progress,
) -> ChosenWeight:
    """The best blend of one of the models with the old query vectors of `gallery`, by `best_of`.

    A query counts if a check of every model would admit it. The old vectors come from where a check takes them.

    Args:
        names: names of the new models; at least one.

    Raises:
        BadInput: no ground truth, no old query vectors, or queries that cannot be evidence: see `check_model`.
        NotAcceptable: no weight above 0 of any model is better than the old query alone.
    """
    contexts = [CheckContext.opened(objects, gallery, name, inputs, policy, progress) for name in names]
    sets = _common_queries(contexts)
    results: dict[tuple[str, float], Values] = {}
    groupings = []
    for context, queries in zip(contexts, sets, strict=True):
        by_weight = _results(context, queries, query_vectors(context, queries).by_pair)
        results |= {(context.model.card.name, weight): values for weight, values in by_weight.items()}
        groupings.append(group_queries(context, queries).clusters)
        context.confirm_files()
    clusters = joined(groupings)
    staying = results[names[0], 0.0]
    found = best_of({one: values for one, values in results.items() if one[1]}, staying, clusters)
    if found is None:
        raise NotAcceptable(_nothing_helps(policy, results, staying), Advice("stay_or_give_weight"))
    grid = [_measured(one, values, staying, clusters, policy) for one, values in results.items()]
    warnings = dict.fromkeys(one for context in contexts for one in [*context.warnings, *_doubts(context, clusters)])
    given = contexts[0].open_items(inputs.items)
    return ChosenWeight(*found, policy.metric, grid, len(clusters), given, list(warnings))


def _common_queries(contexts: Sequence[CheckContext]) -> list[QuerySet]:
    """The queries that are admitted for every model, as each encodes them."""
    for context in contexts:
        context.record(rule(context) for rule in OF_CHECK.values())
    with ReencodableRows.opened(contexts[0]) as reencodable:
        sets = [build_query_set(context, reencodable) for context in contexts]
    common = [queries.in_all(sets) for queries in sets]
    if not common[0].any():
        names = ", ".join(context.model.card.name for context in contexts)
        raise BadInput(
            Parameter("items"), expected="queries that none of the models was trained on", found=f"none for {names}"
        )
    return [queries.restricted(mask) for queries, mask in zip(sets, common, strict=True)]


def _nothing_helps(policy: Policy, results: Mapping[tuple[str, float], Values], staying: Values) -> str:
    new, weight = max(results, key=lambda one: float(results[one].mean()))
    change = float((results[new, weight] - staying).mean())
    names = " or ".join(dict.fromkeys(name for name, _ in results))
    at = f"weight {weight:g}" if len(results) == len(GRID) else f"{new}, weight {weight:g}"
    return (
        f"model {names}: expected a weight at which its queries help, found none: {policy.metric} is "
        f"{staying.mean():.3f} without them, and changes by {change:+.3f} at best ({at}, {len(staying)} queries)"
    )


def best_weight(results: Mapping[float, Values], clusters: NDArray[np.int64]) -> float:
    """The weight that `best_of` finds, the smallest of equal ones; 0 if it finds none.

    Args:
        results: weight -> (Q,) results; 0 is among the weights.
        clusters: see `best_of`.
    """
    above = {weight: results[weight] for weight in sorted(results) if weight}
    return best_of(above, results[0.0], clusters) or 0.0


def best_of(results: Mapping[T, Values], staying: Values, clusters: NDArray[np.int64]) -> T | None:
    """The name with the highest mean, the first of equal ones; None if it is within one standard error of staying.

    Args:
        results: name -> (Q,) results.
        staying: (Q,) results of the old query alone.
        clusters: (Q,) number of each query's cluster. A cluster is one piece of evidence; a single one chooses nothing.
    """
    best = max(results, key=lambda one: float(results[one].mean()))
    return None if within_one_error(Clusters.of(results[best] - staying, clusters)) else best


def _doubts(context: CheckContext, clusters: NDArray[np.int64]) -> list[str]:
    """Reasons why the same queries would be weak evidence for a check, each in words."""
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


def _measured(
    tried: tuple[str, float], values: Values, staying: Values, clusters: NDArray[np.int64], policy: Policy
) -> Measured:
    change = values - staying
    resampled = resampled_means(change[:, None], RESAMPLES, SEED, clusters)[:, 0]
    return Measured(*tried, float(values.mean()), interval(float(change.mean()), resampled, policy.confidence))
