"""Evidence of each slice: intervals, update gain and flips from per-query values. Works on arrays alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skipfill.compat.evaluation.per_query import PerQuery
from skipfill.compat.evaluation.statistics.bootstrap import Values, interval, resampled_means
from skipfill.compat.evaluation.statistics.tilted_bootstrap import Clusters, lower_bound, upper_bound
from skipfill.store.checks.names import NEW_OLD, OLD_OLD, before_swap
from skipfill.store.checks.policy import Policy
from skipfill.store.checks.report import Cell, Flips, Interval, Slice
from skipfill.store.checks.requirement import Requirement
from skipfill.store.errors import SkipfillError

Columns = dict[tuple[str, str], Values]
"""(pair, metric) -> values of the queries of one slice."""

SHOWN_FLIPS = 100
"""Most ids of queries that got worse, and of queries that got better, in a report."""


@dataclass(frozen=True)
class Evidence:
    """Per-query values of Q queries.

    Attributes:
        stored: on the whole stored gallery: old/old, new/old, perhaps released/old.
        reencoded: old/old, new/old, new/new and perhaps the ceiling on the rows that could be encoded again; may be
            empty. NaN for queries that have nothing to find among those rows: they count in `stored` alone.
        ceiling: which pair of `reencoded` the update gain is relative to.
        clusters: (Q,) queries of the same number stand or fall together.
    """

    stored: PerQuery
    reencoded: PerQuery
    ceiling: str
    clusters: NDArray[np.int64]


def measure_slice(name: str, evidence: Evidence, chosen: NDArray[np.bool_], policy: Policy) -> Slice:
    """Measure one group of queries. What the policy requires of it is not tested yet: see `verdict`.

    Args:
        chosen: (Q,) bool, the group.

    Raises:
        SkipfillError: a value is not finite.
    """
    count = int(chosen.sum())
    if count == 0:
        return Slice(name, 0, 0, [], {}, {}, {"negative": 0, "positive": 0}, [], "inconclusive")
    clusters = np.unique(evidence.clusters[chosen], return_inverse=True)[1]
    stored = _chosen(evidence.stored, chosen)
    if not all(np.isfinite(values).all() for values in stored.values()):
        raise SkipfillError(f"{name}: expected a finite value for every query, found others")
    drawn = _Drawn(stored, clusters, policy)
    metrics = list(evidence.stored[OLD_OLD])
    cells = [Cell(pair, metric, drawn.mean((pair, metric))) for metric in metrics for pair in evidence.stored]
    change = {metric: drawn.difference((NEW_OLD, metric), (OLD_OLD, metric)) for metric in metrics}
    more, gain = _reindexed(evidence, chosen, clusters, metrics, policy)
    flip = stored[NEW_OLD, policy.metric] - stored[before_swap(evidence.stored), policy.metric]
    flips = {"negative": int((flip < 0).sum()), "positive": int((flip > 0).sum())}
    return Slice(name, count, int(clusters.max()) + 1, cells + more, change, gain, flips, [], "inconclusive")


def with_requirements(measured: Slice, requirements: list[Requirement], metric: str) -> Slice:
    """A measured slice with its requirements, whose bounds on the change of `metric` replace those of the slice."""
    change = dict(measured.change)
    for one in requirements:
        if one.base == OLD_OLD:
            change[metric] = Interval(one.found, one.low, one.high)
    return replace(measured, requirements=requirements, change=change)


def flipped(ids: list[str], stored: PerQuery, metric: str) -> Flips:
    """The queries whose value in `metric` fell and rose, the largest change first."""
    change = stored[NEW_OLD][metric] - stored[before_swap(stored)][metric]

    def first_ids(sign: int) -> list[str]:
        places = np.flatnonzero(sign * change > 0)
        return [ids[place] for place in places[np.argsort(-sign * change[places], kind="stable")][:SHOWN_FLIPS]]

    return Flips(first_ids(-1), first_ids(1))


def _reindexed(
    evidence: Evidence, chosen: NDArray[np.bool_], clusters: NDArray[np.int64], metrics: list[str], policy: Policy
) -> tuple[list[Cell], dict[str, Interval | None]]:
    """new/new, the ceiling and the update gain, of the queries with something to find among the rows encoded again."""
    gain: dict[str, Interval | None] = dict.fromkeys(metrics)
    again = _chosen(evidence.reencoded, chosen)
    answered = np.isfinite(np.stack(list(again.values()))).all(axis=0) if again else np.zeros(0, bool)
    if not answered.any():
        return [], gain
    sample = _Drawn({key: values[answered] for key, values in again.items()}, clusters[answered], policy)
    extra = [pair for pair in evidence.reencoded if pair not in evidence.stored]
    cells = [Cell(pair, metric, sample.mean((pair, metric))) for metric in metrics for pair in extra]
    if evidence.ceiling in evidence.reencoded:
        gain = {metric: sample.gain(metric, evidence.ceiling) for metric in metrics}
    return cells, gain


def _chosen(cells: PerQuery, chosen: NDArray[np.bool_]) -> Columns:
    return {(pair, metric): values[chosen] for pair, cell in cells.items() for metric, values in cell.items()}


class _Drawn:
    """All columns of a slice under one set of bootstrap draws, so that everything compared is paired."""

    def __init__(self, columns: Columns, clusters: NDArray[np.int64], policy: Policy) -> None:
        self._columns = columns
        self._clusters = clusters
        self._at = {key: index for index, key in enumerate(columns)}
        values = np.stack(list(columns.values()), axis=1)
        self._means = values.mean(axis=0)
        self._drawn = resampled_means(values, policy.resamples, policy.seed, clusters)
        self._confidence = policy.confidence

    def mean(self, key: tuple[str, str]) -> Interval:
        return interval(self._means[self._at[key]], self._drawn[:, self._at[key]], self._confidence)

    def difference(self, key: tuple[str, str], base: tuple[str, str]) -> Interval:
        one, two = self._at[key], self._at[base]
        # Each end by itself has the confidence, like the bounds of the requirements.
        error = 1 - self._confidence
        drawn = self._drawn[:, one] - self._drawn[:, two]
        percentile = interval(self._means[one] - self._means[two], drawn, 1 - 2 * error)
        if percentile.low < percentile.high:
            return percentile
        # All queries are alike: a resample cannot show an outcome that none of them has.
        differences = Clusters.of(self._columns[key] - self._columns[base], self._clusters)
        return Interval(percentile.mean, lower_bound(differences, error), upper_bound(differences, error))

    def gain(self, metric: str, ceiling: str) -> Interval | None:
        """(M(new,old) - M(old,old)) / (M(ceiling) - M(old,old)); None unless the ceiling is significantly above."""
        old, new, top = (self._at[pair, metric] for pair in (OLD_OLD, NEW_OLD, ceiling))
        room = self._drawn[:, top] - self._drawn[:, old]
        if self._means[top] <= self._means[old] or np.quantile(room, (1 - self._confidence) / 2) <= 0:
            return None
        defined = room > 0
        resampled = (self._drawn[defined, new] - self._drawn[defined, old]) / room[defined]
        gain = (self._means[new] - self._means[old]) / (self._means[top] - self._means[old])
        return interval(gain, resampled, self._confidence)
