"""Turns exact ranks over stored rows into per-query values of metrics."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from skipfill.compat.evaluation.statistics.bootstrap import Values
from skipfill.compat.evaluation.statistics.score_histogram import ScoreCounts, bin_numbers
from skipfill.compat.metrics.ranking import Metric, Ranking
from skipfill.store.checks.scores import ScoreDistribution
from skipfill.store.retrieval.ranks import RelevantRanks

PerQuery = dict[str, dict[str, Values]]
"""pair -> metric -> (Q,) values."""


def rankings(ranks: RelevantRanks) -> list[Ranking]:
    """The ranking of each query."""
    counts = ranks.others.sum(axis=0)[::-1].cumsum()
    descending = ranks.edges[::-1]

    @cache
    def cutoff(far: float) -> float:
        """The score that a share `far` of all pairs with rows that are not relevant reaches, linear within its bin."""
        accepted = far * counts[-1]
        at = int(np.searchsorted(counts, accepted))
        before = counts[at - 1] if at else 0
        share = (accepted - before) / max(counts[at] - before, 1)
        return float(descending[at] + share * (descending[at + 1] - descending[at]))

    return [Ranking(*one, cutoff) for one in zip(ranks.ranks, grades_of(ranks), ranks.scores, strict=True)]


def grades_of(ranks: RelevantRanks) -> list[NDArray[np.float32]]:
    """(R,) grades of the relevant rows of each query. If all are 1, the arrays are read-only and take no memory."""
    return ranks.grades or [np.broadcast_to(np.float32(1), len(one)) for one in ranks.ranks]


def values_of(ranked: list[Ranking], metrics: dict[str, Metric]) -> dict[str, Values]:
    """(Q,) values by metric; NaN for queries with nothing to find."""
    return {
        name: np.array([value_of(one) if len(one.ranks) else np.nan for one in ranked])
        for name, value_of in metrics.items()
    }


def distribution(pair: str, ranks: RelevantRanks, bins: int = 64) -> ScoreDistribution:
    """The scores of relevant and other rows in fewer bins, over all queries; empty bins at either end are cut off."""
    step = (len(ranks.edges) - 1) // bins
    edges = ranks.edges[::step]
    others = ranks.others.sum(axis=0).reshape(bins, step).sum(axis=1)
    # Rounding takes some cosines of equal vectors above 1.
    relevant = np.histogram(np.concatenate(ranks.scores).clip(edges[0], edges[-1]), edges)[0]
    held = np.flatnonzero(relevant + others)
    kept = slice(held[0], held[-1] + 1)

    def shares(counts: NDArray[np.int64]) -> list[float]:
        return [float(share) for share in (counts / max(counts.sum(), 1))[kept]]

    return ScoreDistribution(
        pair, [float(edge) for edge in edges[kept.start : kept.stop + 1]], shares(relevant), shares(others)
    )


def score_counts(ranks: RelevantRanks) -> ScoreCounts:
    """The cosine scores of each query, counted in bins."""
    bins = ranks.others.shape[1]
    relevant = np.stack([np.bincount(bin_numbers(one, bins), minlength=bins).astype(np.uint32) for one in ranks.scores])
    return ScoreCounts(ranks.others, relevant)
