"""Recall."""

from skipfill.compat.metrics.ranking import Ranking


def recall(ranking: Ranking, k: int) -> float:
    """Share of the relevant rows that are among the first k (ir_measures: R@k). Nothing relevant scores 0."""
    return float((ranking.ranks <= k).mean()) if len(ranking.ranks) else 0.0
