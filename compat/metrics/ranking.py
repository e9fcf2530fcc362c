"""The ranking of one query, as metrics see it: where its relevant rows are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ranking:
    """The R relevant rows of one query, best rank first.

    Attributes:
        ranks: (R,) ascending, 1-based.
        grades: (R,) how relevant each is, above 0.
        scores: (R,) descending: cosines or inner products.
        cutoff: false accept rate in (0, 1) -> threshold on scores, the same for all queries of the measurement. Of all
            their pairs with a row that is not relevant, this share scores at least as high.
    """

    ranks: NDArray[np.int64]
    grades: NDArray[np.float32]
    scores: NDArray[np.float32]
    cutoff: Callable[[float], float]


Metric = Callable[[Ranking], float]
