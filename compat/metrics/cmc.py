"""Cumulative match characteristic, also called hit rate."""

from skipfill.compat.metrics.ranking import Ranking


def cmc(ranking: Ranking, k: int) -> float:
    """1 if a relevant row is among the first k, else 0 (ir_measures: Success@k)."""
    return float(len(ranking.ranks) > 0 and ranking.ranks[0] <= k)
