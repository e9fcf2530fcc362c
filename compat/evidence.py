"""From per-query values to intervals, update gain, flips and a verdict. Knows arrays only."""

from __future__ import annotations

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
        stored: per-query values on the whole stored gallery: `baseline`, `new/old`.
        reencoded: the same and `new/new`, perhaps `ceiling`, on the rows that could be re-encoded; may be empty.
        ceiling: which pair of `reencoded` the update gain is relative to.
        chosen: (Q,) bool, the group.
    """
    metrics = list(stored["old/old"])
    cells: list[Cell] = []
    change: dict[str, Interval] = {}
    gain: dict[str, Interval | None] = {}
    for metric in metrics:
        pairs = {pair: values[metric][chosen] for pair, values in stored.items()}
        cells += _cells(pairs, metric, policy)
        difference = (pairs["new/old"] - pairs["old/old"])[:, None]
        change[metric] = _mean(difference, policy)
        again = {pair: values[metric][chosen] for pair, values in reencoded.items()}
        cells += _cells({pair: values for pair, values in again.items() if pair not in stored}, metric, policy)
        gain[metric] = _gain(again, ceiling, policy) if ceiling in again else None
    right_before = stored["old/old"]["CMC@1"][chosen] > 0
    right_after = stored["new/old"]["CMC@1"][chosen] > 0
    flips = {
        "negative": int((right_before & ~right_after).sum()),
        "positive": int((~right_before & right_after).sum()),
    }
    count = int(chosen.sum())
    verdicts = [judge(name, count, change[policy.metric], policy)]
    if "released/old" in stored:
        against = stored["new/old"][policy.metric] - stored["released/old"][policy.metric]
        verdicts.append(judge(name, count, _mean(against[chosen][:, None], policy), policy))
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


def _cells(pairs: dict[str, Values], metric: str, policy: Policy) -> list[Cell]:
    return [Cell(pair, metric, _mean(values[:, None], policy)) for pair, values in pairs.items()]


def _mean(values: Values, policy: Policy) -> Interval:
    means = resampled_means(values, policy.resamples, policy.seed)
    return interval(float(values.mean()), means[:, 0], policy.confidence)


def _gain(pairs: dict[str, Values], ceiling: str, policy: Policy) -> Interval | None:
    """(M(new,old) - M(old,old)) / (M(ceiling) - M(old,old)); None unless the ceiling is surely above the baseline."""
    values = np.stack([pairs["old/old"], pairs["new/old"], pairs[ceiling]], axis=1)
    old, new, top = values.mean(axis=0)
    means = resampled_means(values, policy.resamples, policy.seed)
    room = means[:, 2] - means[:, 0]
    if top <= old or np.quantile(room, (1 - policy.confidence) / 2) <= 0:
        return None
    return interval((new - old) / (top - old), (means[:, 1] - means[:, 0]) / room, policy.confidence)
