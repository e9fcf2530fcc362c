"""True accept rate at a false accept rate, as in verification."""

from skipfill.compat.metrics.ranking import Ranking


def true_accept_rate(ranking: Ranking, far: float) -> float:
    """Share of the query's relevant rows that score at least as high as the threshold at this false accept rate.

    The threshold is common to all queries: the score that the share `far` of all query-row pairs that are not relevant
    reaches. Nothing relevant scores 0.
    """
    return float((ranking.scores >= ranking.cutoff(far)).mean()) if len(ranking.scores) else 0.0
