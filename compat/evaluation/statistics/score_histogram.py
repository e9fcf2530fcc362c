"""Scores of queries and rows, counted in equal bins over [-1, 1]. The counts do not grow with the gallery.

Works on arrays alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 2048
"""Bins of [-1, 1], each about 0.001 wide; as many as a ranking counts (`store/retrieval/score_cells.py`)."""
Counts = NDArray[np.integer]
"""(Q, B): number of scores of each query in each bin. A bin includes its lower edge, the last one both edges."""


@dataclass(frozen=True)
class ScoreCounts:
    """Scores of one model's queries, counted in bins.

    Attributes:
        others: (Q, B) counts of the scores of rows that are not relevant.
        relevant: (Q, B) counts of the scores of relevant rows; None if these are not known: `others` then counts all.
    """

    others: Counts
    relevant: Counts | None = None

    @property
    def all(self) -> Counts:
        return self.others if self.relevant is None else self.others + self.relevant


def bin_numbers(scores: NDArray[np.floating], bins: int = BINS) -> NDArray[np.int64]:
    """The bin of each score; a cosine that rounding took out of [-1, 1] is in the first or last."""
    numbers: NDArray[np.int64] = np.floor((scores.astype(np.float64) + 1) * (bins / 2)).astype(np.int64)
    return np.clip(numbers, 0, bins - 1)


def accepted(counts: Counts, cutoff: float) -> NDArray[np.float64]:
    """(Q,) the share of each query's scores at or above `cutoff`, linear inside a bin; NaN for a query without any."""
    bins = counts.shape[1]
    place = min(max((cutoff + 1) * bins / 2, 0.0), float(bins))
    at = min(int(place), bins - 1)
    above = counts[:, at + 1 :].sum(axis=1) + counts[:, at] * (at + 1 - place)
    total = counts.sum(axis=1)
    share = np.full(len(counts), np.nan)
    np.divide(above, total, out=share, where=total > 0)
    return share


def mean_accepted(counts: Counts) -> NDArray[np.float64]:
    """(B + 1,) the mean over queries of the share at or above each edge of the bins: from 1 down to 0."""
    total = counts.sum(axis=1)
    weight = np.divide(1.0, total, out=np.zeros(len(counts)), where=total > 0) / (total > 0).sum()
    mean: NDArray[np.float64] = np.append(np.cumsum((weight @ counts)[::-1])[::-1], 0.0)
    return mean


def cutoff_for(mean: NDArray[np.float64], rate: float) -> float:
    """The threshold at which the mean share accepted is `rate`.

    Args:
        mean: of `mean_accepted`.
    """
    return float(np.interp(-rate, -mean, np.linspace(-1, 1, len(mean))))
