"""Cumulative match characteristic."""

import numpy as np
from numpy.typing import NDArray


def cmc(ranks: NDArray[np.int64], *, k: int) -> float:
    """1 if a relevant row is among the first k, else 0 (ir_measures: Success@k).

    Args:
        ranks: ascending 1-based ranks of the query's relevant rows; may be empty, which scores 0.
    """
    return float(len(ranks) > 0 and ranks[0] <= k)
