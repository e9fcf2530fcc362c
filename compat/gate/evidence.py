"""From per-query values to intervals, update gain, flips and what the policy asks. Knows arrays only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skipfill.compat.evaluation.statistics.bootstrap import Values, interval, resampled_means
from skipfill.compat.evaluation.statistics.tilted_bootstrap import Clusters, lower_bound, upper_bound
from skipfill.compat.gate.verdict import Policy, compared, within_budget
from skipfill.store.checks.report import Cell, Flips, Interval, Slice, Verdict
from skipfill.store.errors import SkipfillError

PerQuery = dict[str, dict[str, Values]]
"""pair -> metric -> (Q,) values."""

SHOWN_FLIPS = 100


@dataclass(frozen=True)
class Evidence:
    """Per-query values of Q queries.

    Attributes:
        stored: on the whole stored gallery: `old/old`, `new/old`, perhaps `released/old`.
        reencoded: old/old, new/old, new/new and perhaps `ceiling` on the rows that could be encoded again; may be
            empty. NaN for queries that have nothing to find among those rows: they count in `stored` alone.
        ceiling: which pair of `reencoded` the update gain is relative to.
        units: (Q,) queries of the same number stand or fall together.
    """

    stored: PerQuery
    reencoded: PerQuery
    ceiling: str
    units: NDArray[np.int64]


def measure_slice(name: str, evidence: Evidence, chosen: NDArray[np.bool_], policy: Policy) -> Slice:
    """Everything about one group of queries; its requirements not yet adjusted for those of other groups.

    Args:
        chosen: (Q,) bool, the group.

    Raises:
        SkipfillError: a value is not finite: what is not a number must not be judged.
    """
    count = int(chosen.sum())
    verdict: Verdict = "pass" if name in policy.accept_worse else "inconclusive"
    if count == 0:
        return Slice(name, 0, 0, [], {}, {}, {"negative": 0, "positive": 0}, [], verdict)
    units = np.unique(evidence.units[chosen], return_inverse=True)[1]
    stored = _chosen(evidence.stored, chosen)
    if not all(np.isfinite(values).all() for values in stored.values()):
        raise SkipfillError(f"{name}: expected a finite value for every query, found others")
    drawn = _Drawn(stored, units, policy)
    metrics = list(evidence.stored["old/old"])
    cells = [Cell(pair, metric, drawn.mean((pair, metric))) for metric in metrics for pair in evidence.stored]
    change = {metric: drawn.difference(("new/old", metric), ("old/old", metric)) for metric in metrics}
    more, gain = _reindexed(evidence, chosen, units, metrics, policy)
    before, after = stored["old/old", "CMC@1"] > 0, stored["new/old", "CMC@1"] > 0
    negative = before & ~after
    asked = []
    if name not in policy.accept_worse:
        new = stored["new/old", policy.metric]
        bases = [pair for pair in evidence.stored if pair != "new/old"]
        asked = [compared(name, base, Clusters.of(new - stored[base, policy.metric], units), policy) for base in bases]
        if policy.flip_budget is not None:
            asked.append(within_budget(name, Clusters.of(negative.astype(float), units), policy))
    flips = {"negative": int(negative.sum()), "positive": int((~before & after).sum())}
    return Slice(name, count, int(units.max()) + 1, cells + more, change, gain, flips, asked, verdict)


def flipped(ids: list[str], stored: PerQuery, metric: str) -> Flips:
    """Which queries CMC@1 was lost and won for, the largest change of `metric` first."""
    change = stored["new/old"][metric] - stored["old/old"][metric]
    flip = stored["new/old"]["CMC@1"] - stored["old/old"]["CMC@1"]

    def named(sign: int) -> list[str]:
        found = np.flatnonzero(flip == sign)
        return [ids[place] for place in found[np.argsort(-sign * change[found], kind="stable")][:SHOWN_FLIPS]]

    return Flips(named(-1), named(1))


def _reindexed(
    evidence: Evidence, chosen: NDArray[np.bool_], units: NDArray[np.int64], metrics: list[str], policy: Policy
) -> tuple[list[Cell], dict[str, Interval | None]]:
    """new/new, the ceiling and the update gain, of the queries that have something to find among the rows at hand."""
    gain: dict[str, Interval | None] = dict.fromkeys(metrics)
    again = _chosen(evidence.reencoded, chosen)
    answered = np.isfinite(np.stack(list(again.values()))).all(axis=0) if again else np.zeros(0, bool)
    if not answered.any():
        return [], gain
    sample = _Drawn({key: values[answered] for key, values in again.items()}, units[answered], policy)
    extra = [pair for pair in evidence.reencoded if pair not in evidence.stored]
    cells = [Cell(pair, metric, sample.mean((pair, metric))) for metric in metrics for pair in extra]
    if evidence.ceiling in evidence.reencoded:
        gain = {metric: sample.gain(metric, evidence.ceiling) for metric in metrics}
    return cells, gain


def _chosen(cells: PerQuery, chosen: NDArray[np.bool_]) -> dict[tuple[str, str], Values]:
    return {(pair, metric): values[chosen] for pair, cell in cells.items() for metric, values in cell.items()}


class _Drawn:
    """All columns of a slice under one set of bootstrap draws, so that everything compared is paired."""

    def __init__(self, columns: dict[tuple[str, str], Values], units: NDArray[np.int64], policy: Policy) -> None:
        self._columns = columns
        self._units = units
        self._at = {key: index for index, key in enumerate(columns)}
        values = np.stack(list(columns.values()), axis=1)
        self._means = values.mean(axis=0)
        self._drawn = resampled_means(values, policy.resamples, policy.seed, units)
        self._confidence = policy.confidence

    def mean(self, key: tuple[str, str]) -> Interval:
        return interval(self._means[self._at[key]], self._drawn[:, self._at[key]], self._confidence)

    def difference(self, key: tuple[str, str], base: tuple[str, str]) -> Interval:
        one, two = self._at[key], self._at[base]
        found = interval(
            self._means[one] - self._means[two], self._drawn[:, one] - self._drawn[:, two], self._confidence
        )
        if found.low < found.high:
            return found
        # All queries alike: a resample cannot show what none of them does.
        units, error = Clusters.of(self._columns[key] - self._columns[base], self._units), (1 - self._confidence) / 2
        return Interval(found.mean, lower_bound(units, error), upper_bound(units, error))

    def gain(self, metric: str, ceiling: str) -> Interval | None:
        """(M(new,old) - M(old,old)) / (M(ceiling) - M(old,old)); None unless the ceiling is surely above."""
        old, new, top = (self._at[pair, metric] for pair in ("old/old", "new/old", ceiling))
        room = self._drawn[:, top] - self._drawn[:, old]
        if self._means[top] <= self._means[old] or np.quantile(room, (1 - self._confidence) / 2) <= 0:
            return None
        defined = room > 0
        resampled = (self._drawn[defined, new] - self._drawn[defined, old]) / room[defined]
        gain = (self._means[new] - self._means[old]) / (self._means[top] - self._means[old])
        return interval(gain, resampled, self._confidence)
