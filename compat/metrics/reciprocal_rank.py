"""Reciprocal rank."""

from skipfill.compat.metrics.ranking import Ranking


def reciprocal_rank(ranking: Ranking) -> float:
    """1 / the rank of the first relevant row (ir_measures: RR). Nothing relevant scores 0."""
    return 1.0 / float(ranking.ranks[0]) if len(ranking.ranks) else 0.0
