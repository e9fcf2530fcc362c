"""Average precision over the full ranking."""

import numpy as np
from numpy.typing import NDArray


def average_precision(ranks: NDArray[np.int64]) -> float:
    """mean over relevant rows of (its place among the relevant) / (its rank) (trec_eval: map).

    Args:
        ranks: ascending 1-based ranks of the query's relevant rows; may be empty, which scores 0.
    """
    if len(ranks) == 0:
        return 0.0
    return float((np.arange(1, len(ranks) + 1) / ranks).mean())
