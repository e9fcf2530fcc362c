"""Normalised discounted cumulative gain."""

import numpy as np

from skipfill.compat.metrics.ranking import Ranking


def ndcg(ranking: Ranking, k: int) -> float:
    """DCG@k / (that of the best possible ranking), DCG = sum of grade / log2(rank + 1) (ir_measures: nDCG@k).

    The gain is the grade itself, as in trec_eval. Nothing relevant scores 0.

    Source: Järvelin and Kekäläinen 2002.
    """
    if len(ranking.ranks) == 0:
        return 0.0
    first = ranking.ranks <= k
    gained = float((ranking.grades[first] / np.log2(ranking.ranks[first] + 1)).sum())
    best = np.sort(ranking.grades)[::-1][:k]
    return gained / float((best / np.log2(np.arange(2, len(best) + 2))).sum())
