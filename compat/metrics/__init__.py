"""Every retrieval metric by name: a function from the ranks of a query's relevant rows to its value in [0, 1].

To add one: its file here, and its line below. Higher is better in all of them.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from skipfill.compat.metrics.average_precision import average_precision
from skipfill.compat.metrics.cmc import cmc

Metric = Callable[[NDArray[np.int64]], float]

METRICS: dict[str, Metric] = {
    "CMC@1": lambda ranks: cmc(ranks, k=1),
    "CMC@5": lambda ranks: cmc(ranks, k=5),
    "mAP": average_precision,
}
