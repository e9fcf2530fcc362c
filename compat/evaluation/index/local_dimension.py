"""Local intrinsic dimension of queries. The higher it is, the harder they are for an index that walks a graph."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST = 3
"""Fewest distances above zero from which a dimension is estimated."""


def local_dimension(distances: NDArray[np.floating]) -> NDArray[np.float64]:
    """The maximum-likelihood estimate of the local intrinsic dimension at each query.

    (n - 1) / sum_{j < n} ln(r_n / r_j) over the n distances above zero. A row at the query itself is left out: it says
    nothing about how the others are spread.

    Args:
        distances: (Q, K), ascending, at least 0, in any unit: exact distances to the nearest rows.

    Returns:
        (Q,), above 0; infinite where all distances are equal, NaN where fewer than 3 are above zero.

    Source: Levina and Bickel 2004, eq. 8; Amsaleg et al. 2015 (who divide by n).
    """
    given = distances.astype(np.float64)
    apart = given > 0
    logs = np.log(np.where(apart, given, given[:, -1:]), where=given[:, -1:] > 0, out=np.zeros_like(given))
    spread = (logs[:, -1:] - logs).sum(axis=1)
    count = apart.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(count >= LEAST, (count - 1) / spread, np.nan)
