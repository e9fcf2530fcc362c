"""True accept rate at a false accept rate, as in verification."""

from skipfill.compat.metrics.ranking import Ranking


def true_accept_rate(ranking: Ranking, far: float) -> float:
    """Share of the query's relevant rows that score at least as high as the threshold at this false accept rate.

    The threshold is common to all queries. Of all pairs of a query and a row that is not relevant to it, the share
    `far` scores at least as high. Nothing relevant scores 0.
    """
    return float((ranking.scores >= ranking.cutoff(far)).mean()) if len(ranking.scores) else 0.0
