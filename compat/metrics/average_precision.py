"""Average precision over the full ranking."""

import numpy as np

from skipfill.compat.metrics.ranking import Ranking


def average_precision(ranking: Ranking) -> float:
    """Mean over relevant rows of (place among the relevant rows) / rank (ir_measures: AP).

    Nothing relevant scores 0.
    """
    ranks = ranking.ranks
    return float((np.arange(1, len(ranks) + 1) / ranks).mean()) if len(ranks) else 0.0
