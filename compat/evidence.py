"""From per-query values to intervals, update gain, flips and a verdict. Knows arrays only."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skipfill.compat.bootstrap import Values, interval, resampled_means
from skipfill.store.checks import Cell, Interval, Slice, Verdict

PerQuery = dict[str, dict[str, Values]]
"""pair -> metric -> (Q,) values."""


@dataclass(frozen=True)
class Policy:
    """What a model must show.

    Attributes:
        metric: the one that decides.
        confidence: of the two-sided bootstrap intervals.
        margin: how much worse a slice may be (0.02 = two points); on all queries together it must be better.
        accept_worse: slices that may be worse, by name.
        least_queries: fewer in a slice are not enough evidence for a pass.
        resamples: of the bootstrap.
    """

    metric: str = "CMC@1"
    confidence: float = 0.95
    margin: float = 0.02
    accept_worse: tuple[str, ...] = ()
    least_queries: int = 30
    resamples: int = 2000
    seed: int = 0

    def described(self) -> dict[str, Any]:
        return asdict(self)


def measure_slice(
    name: str, stored: PerQuery, reencoded: PerQuery, ceiling: str, chosen: NDArray[np.bool_], policy: Policy
) -> Slice:
    """Everything about one group of queries.

    Args:
        stored: per-query values on the whole stored gallery: `old/old`, `new/old`.
        reencoded: the same and `new/new`, perhaps `ceiling`, on the rows that could be re-encoded; may be empty. NaN
            for queries that have nothing to find among those rows: they count in `stored` alone.
        ceiling: which pair of `reencoded` the update gain is relative to.
        chosen: (Q,) bool, the group.
    """
    columns = {(pair, metric): values[chosen] for pair, cell in stored.items() for metric, values in cell.items()}
    drawn = _Drawn(columns, policy)
    metrics = list(stored["old/old"])
    cells = [Cell(pair, metric, drawn.mean((pair, metric))) for metric in metrics for pair in stored]
    change = {metric: drawn.difference(("new/old", metric), ("old/old", metric)) for metric in metrics}
    gain: dict[str, Interval | None] = dict.fromkeys(metrics)
    again = {(pair, metric): values[chosen] for pair, cell in reencoded.items() for metric, values in cell.items()}
    answered = np.isfinite(np.stack(list(again.values()))).all(axis=0) if again else np.zeros(0, bool)
    if answered.any():
        sample = _Drawn({key: values[answered] for key, values in again.items()}, policy)
        extra = [pair for pair in reencoded if pair not in stored]
        cells += [Cell(pair, metric, sample.mean((pair, metric))) for metric in metrics for pair in extra]
        if ceiling in reencoded:
            gain = {metric: sample.gain(metric, ceiling) for metric in metrics}
    before, after = columns["old/old", "CMC@1"] > 0, columns["new/old", "CMC@1"] > 0
    flips = {"negative": int((before & ~after).sum()), "positive": int((~before & after).sum())}
    count = int(chosen.sum())
    verdicts = [judge(name, count, change[policy.metric], policy)]
    if "released/old" in stored:
        against = drawn.difference(("new/old", policy.metric), ("released/old", policy.metric))
        verdicts.append(judge(name, count, against, policy))
    return Slice(name, count, cells, change, gain, flips, worst(verdicts))


def judge(name: str, queries: int, change: Interval, policy: Policy) -> Verdict:
    """The verdict on one slice: `all` must be better, any other slice not worse by the margin."""
    if name in policy.accept_worse:
        return "pass"
    if queries < policy.least_queries or not np.isfinite([change.low, change.high]).all():
        return "inconclusive"
    bar = 0.0 if name == "all" else -policy.margin
    if change.low > bar:
        return "pass"
    return "fail" if change.high <= bar else "inconclusive"


def worst(verdicts: list[Verdict]) -> Verdict:
    """`fail` before `inconclusive` before `pass`; nothing measured is inconclusive."""
    order: list[Verdict] = ["pass", "inconclusive", "fail"]
    return max(verdicts, key=order.index, default="inconclusive")


class _Drawn:
    """All columns of a slice under one set of bootstrap draws, so that everything compared is paired."""

    def __init__(self, columns: dict[tuple[str, str], Values], policy: Policy) -> None:
        self._at = {key: index for index, key in enumerate(columns)}
        values = np.stack(list(columns.values()), axis=1)
        self._means = values.mean(axis=0)
        self._drawn = resampled_means(values, policy.resamples, policy.seed)
        self._confidence = policy.confidence
        self._queries = len(values)

    def mean(self, key: tuple[str, str]) -> Interval:
        return interval(self._means[self._at[key]], self._drawn[:, self._at[key]], self._confidence)

    def difference(self, key: tuple[str, str], base: tuple[str, str]) -> Interval:
        one, two = self._at[key], self._at[base]
        found = interval(
            self._means[one] - self._means[two], self._drawn[:, one] - self._drawn[:, two], self._confidence
        )
        if found.low < found.high:
            return found
        # All queries alike: a resample cannot show what none of them does. An event that n draws did not show has a
        # probability of at most -ln(alpha / 2) / n (the rule of three, two-sided).
        unseen = -math.log((1 - self._confidence) / 2) / self._queries
        return Interval(found.mean, found.low - unseen, found.high + unseen)

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
