"""The order of candidates after re-ranking, where a newer model has scored some of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def reordered(
    scores: NDArray[np.floating], known: NDArray[np.bool_], id_order: NDArray[np.integer]
) -> NDArray[np.intp]:
    """Re-order the candidates that have a score; the others keep their places. Scores of two models are never compared.

    Args:
        scores: (..., K) by the newer model, higher is better, in the order of the old ranking. They are ignored
            where `known` is False.
        known: (..., K) whether a candidate has a score.
        id_order: (..., K) numbers in the order of the candidates' ids: at equal scores, the smaller id comes first.

    Returns:
        (..., K) positions: the candidate at new place j is the one that was at place `order[..., j]`.
    """
    looked_at = np.where(known, scores, 0)
    best_first = np.lexsort((id_order, -looked_at, ~known), axis=-1)
    places = np.argsort(~known, axis=-1, kind="stable")  # of those with a score in old order, then of the others
    counts = known.sum(axis=-1, keepdims=True)
    chosen = np.where(np.arange(known.shape[-1]) < counts, best_first, places)
    order = np.empty(known.shape, np.intp)
    np.put_along_axis(order, places, chosen, axis=-1)
    return order
