"""Transfers a threshold on old scores to one on new scores that accepts at the same rate. Works on arrays alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skipfill.compat.evaluation.statistics.bootstrap import Values, resampled_means
from skipfill.compat.evaluation.statistics.score_histogram import (
    Counts,
    ScoreCounts,
    accepted,
    cutoff_for,
    mean_accepted,
)
from skipfill.store.checks.report import Interval, Rule, Threshold
from skipfill.store.errors import BadInput, Parameter, unknown_name

RULES: dict[Rule, Callable[[ScoreCounts], Counts]] = {
    "far": lambda counts: counts.others,
    "match-rate": lambda counts: counts.all,
}
"""The pairs of query and row whose accepted share is kept: those that are not relevant, or all."""
RESAMPLES = 2000
ENOUGH = 10
"""With fewer effective clusters than this, intervals of 95% held in only 88% to 92% of resamples of Omniglot."""
COARSE = 0.25
"""A bin that holds more than this share of the rate is too coarse to place a threshold in."""


def rule(name: str) -> Rule:
    """The rule of this name.

    Raises:
        BadInput: there is none.
    """
    for one in RULES:
        if one == name:
            return one
    raise unknown_name("rule", name, RULES, where=Parameter("threshold_rule"))


def transferred(
    old: ScoreCounts,
    new: ScoreCounts,
    cutoff: float,
    rule: Rule = "far",
    confidence: float = 0.95,
    clusters: NDArray[np.generic] | None = None,
    seed: int = 0,
) -> Threshold:
    """The threshold on new scores that accepts the same share of pairs, a mean over queries, as `cutoff` on old ones.

    The interval of the rate is a prediction interval: with the given confidence, it holds the share that the new
    threshold accepts on the same number of other clusters of queries, of the same kind and on the same gallery.

    Args:
        old, new: scores of the same Q queries by the two models.
        cutoff: the old threshold, in [-1, 1]. A score at or above it is accepted.
        confidence: two-sided, in (0, 1).
        clusters: (Q,) a value that queries share, such as their class. Queries that share it are drawn together. None
            if each query is drawn alone.

    Raises:
        BadInput: a threshold that is not a number, accepts less than one pair or rejects less than one.
    """
    before, after = RULES[rule](old), RULES[rule](new)
    answered = (before.sum(axis=1) > 0) & (after.sum(axis=1) > 0)
    before, after = before[answered], after[answered]
    old_shares, pairs, rate = _accepted_by_old(before, cutoff)
    mean = mean_accepted(after)
    new_cutoff = cutoff_for(mean, rate)
    new_shares = accepted(after, new_cutoff)
    new_rate = float(new_shares.mean())
    drawn = _Drawn.of(old_shares, new_shares, None if clusters is None else clusters[answered], 0.5 / pairs, seed)
    low, high = drawn.realised(new_rate, confidence)
    least, most = _around(mean, new_cutoff)
    ends = [cutoff_for(mean, one) for one in drawn.matching(rate, confidence)]
    return Threshold(
        rule=rule,
        old=cutoff,
        new=Interval(new_cutoff, min(ends), max(ends)),
        old_rate=rate,
        # The place of a score within its bin is unknown: equal scores may all be above the threshold, or all below.
        new_rate=Interval(new_rate, min(low, least), max(high, most)),
        confidence=confidence,
        pairs=pairs,
        units=drawn.clusters,
        effective_units=drawn.effective,
        tar=_tar(old, new, cutoff, new_cutoff),
        warnings=_warnings(drawn, rate, (least, most), _around(mean_accepted(before), cutoff)),
    )


def _accepted_by_old(counts: Counts, cutoff: float) -> tuple[Values, int, float]:
    """(Q,) accepted share of each query, the number of pairs, and the mean share, which is the rate to keep.

    Raises:
        BadInput: a threshold that is not a number, accepts less than one pair or rejects less than one.
    """
    if not math.isfinite(cutoff):
        raise BadInput("threshold", expected="a finite number", found=str(cutoff))
    shares = accepted(counts, cutoff)
    pairs, rate = int(counts.sum()), float(shares.mean()) if len(shares) else 0.0
    if not 1 <= rate * pairs <= pairs - 1:
        raise BadInput(
            f"threshold {cutoff:g}",
            expected=f"a score that accepts some of the {pairs:,} pairs of query and row, and not all",
            found=f"{'less than one' if rate < 0.5 else 'all'} accepted, so that there is no rate to keep",
            hint="Choose a threshold among the old scores, or check with more queries.",
        )
    return shares, pairs, rate


@dataclass(frozen=True)
class _Drawn:
    """The shares accepted by old and new threshold in resamples of the clusters.

    Attributes:
        old, new: (R,) logits of the mean shares by the old and the new threshold, in the same resamples.
        again: (R,) logits of the mean share by the new threshold, in other resamples.
        clusters: number of clusters.
        effective: number of equal clusters that would be as much evidence. A small rate often rests on a few clusters.
        spread: (R,) factor that widens the differences between resamples, because the clusters are few.
    """

    old: Values
    new: Values
    again: Values
    clusters: int
    effective: float
    spread: Values

    @classmethod
    def of(cls, old: Values, new: Values, clusters: NDArray[np.generic] | None, least: float, seed: int) -> _Drawn:
        codes = np.arange(len(old)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
        sums = np.stack([np.bincount(codes, weights=one) for one in (old, new, np.ones(len(old)))], axis=1)
        rare = sums[:, 1] if new.mean() <= 0.5 else sums[:, 2] - sums[:, 1]
        count, effective = len(sums), float(rare.sum() ** 2 / (rare**2).sum())
        # One more cluster, like the heaviest one, stands for clusters that the sample lacks. Without it, intervals are
        # too narrow.
        heaviest = sums[[int((rare / sums[:, 2]).argmax())]]
        drawn = resampled_means(np.concatenate([sums, heaviest]), 2 * RESAMPLES, seed)
        logits = _logit(np.clip(drawn[:, :2] / drawn[:, 2:], least, 1 - least))
        # These factors turn a normal into a Student's t, with the effective clusters as its degrees of freedom.
        freedom = max(min(effective, count - 1.0), 1.0)
        chi = np.random.default_rng(seed).chisquare(freedom, RESAMPLES)
        spread = np.sqrt(freedom / chi * (count + 1) / max(count - 1, 1))
        return cls(logits[:RESAMPLES, 0], logits[:RESAMPLES, 1], logits[RESAMPLES:, 1], count, effective, spread)

    def realised(self, rate: float, confidence: float) -> tuple[float, float]:
        """Interval of the share that the new threshold accepts on as many other clusters, given `rate` on these."""
        return self._around(rate, (self.again - self.new) * self.spread, confidence)

    def matching(self, rate: float, confidence: float) -> tuple[float, float]:
        """Interval of the share that a new threshold must accept on these clusters to agree with the old one on all."""
        return self._around(rate, (self.old - self.new) * self.spread, confidence)

    def _around(self, rate: float, change: Values, confidence: float) -> tuple[float, float]:
        if self.clusters < 2:
            return 0.0, 1.0
        ends = _logit(np.array(rate)) + np.quantile(change, [(1 - confidence) / 2, (1 + confidence) / 2])
        low, high = 1 / (1 + np.exp(-ends))
        return float(low), float(high)


def _logit(share: Values) -> Values:
    logits: Values = np.log(share) - np.log1p(-share)
    return logits


def _around(mean: Values, cutoff: float) -> tuple[float, float]:
    """The mean share accepted at the upper and the lower edge of the bin that `cutoff` is in."""
    bins = len(mean) - 1
    at = min(max(math.floor((cutoff + 1) * bins / 2), 0), bins - 1)
    return float(mean[at + 1]), float(mean[at])


def _tar(old: ScoreCounts, new: ScoreCounts, before: float, after: float) -> dict[str, float]:
    """The share of relevant pairs accepted, a mean over the queries that have any; empty where none are known."""
    if old.relevant is None or new.relevant is None or not old.relevant.any():
        return {}
    return {
        "old": float(np.nanmean(accepted(old.relevant, before))),
        "new": float(np.nanmean(accepted(new.relevant, after))),
    }


def _warnings(drawn: _Drawn, rate: float, new: tuple[float, float], old: tuple[float, float]) -> list[str]:
    found = []
    if drawn.effective < ENOUGH:
        found.append(
            f"the rate rests on about {drawn.effective:.1f} of {drawn.clusters:,} clusters of queries: its interval is "
            "likely too narrow"
        )
    for which, (least, most) in (("old", old), ("new", new)):
        if most - least > rate * COARSE:
            found.append(
                f"many {which} scores are nearly equal to the threshold: the rate is between {least:.2g} and {most:.2g}"
            )
    return found
