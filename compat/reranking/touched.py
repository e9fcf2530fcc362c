"""The share of a gallery that queries touch: measured, and predicted for more queries, with a band.

Measured by rarefaction (Hurlbert 1971): the exact mean over all choices of so many of the queries. Predicted by a
beta-binomial law of how often a row is a candidate, fitted to all rows, the untouched ones too: their number is known,
unlike that of species. The band is three errors by the jackknife over groups of queries (Efron and Tibshirani 1993,
section 11.5). From a tenth of the queries of SciFact, BANKING77 and Omniglot, with 10, 50 and 200 candidates, to three
and ten times as many: 269 of 270 bands held the truth (with two errors, 264).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import betaln, gammaln

from skipfill.compat.evaluation.statistics.bootstrap import Values
from skipfill.store.checks.reranking import TouchedRows

Rows = NDArray[np.int64]
GROUPS = 10
ERRORS = 3.0
CONCENTRATION = -5.0, 15.0
"""Natural logarithms between which that of the law is looked for."""
FEWEST = 20
"""Queries without which nothing is predicted."""


def measured(rows: Rows, queries: Sequence[int]) -> list[TouchedRows]:
    """The number of distinct rows that some of the queries touch.

    Args:
        rows: (Q, K) candidates by number, -1 for none.
        queries: how many, each at most Q.
    """
    times = _times(rows)
    return [TouchedRows(some, value, value, value) for some in queries for value in [_rarefied(times, len(rows), some)]]


def predicted(rows: Rows, gallery_rows: int, queries: Sequence[int]) -> list[TouchedRows]:
    """The number of distinct rows that more queries like these will touch; nothing from fewer than 20 queries.

    Args:
        rows: (Q, K) candidates by number, -1 for none.
        queries: how many, each at least Q.
    """
    if len(rows) < FEWEST:
        return []
    groups = np.arange(len(rows)) % GROUPS
    touched = len(_times(rows))
    left_out = np.stack([_extrapolated(rows[groups != one], gallery_rows, queries) for one in range(GROUPS)])
    errors = np.sqrt((GROUPS - 1) / GROUPS * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
    means = _extrapolated(rows, gallery_rows, queries)
    low, mean, high = (np.clip(means + errors * times, touched, gallery_rows) for times in (-ERRORS, 0, ERRORS))
    return [TouchedRows(*one) for one in zip(queries, mean.tolist(), low.tolist(), high.tolist(), strict=True)]


def _times(rows: Rows) -> Rows:
    """(n,) how often each row that is a candidate at all is one."""
    counts = np.bincount(rows[rows >= 0])
    return counts[counts > 0]


def _rarefied(times: Rows, queries: int, some: int) -> float:
    """The expected number of distinct rows of `some` of the queries, drawn without replacement."""
    rest = queries - times
    missed = np.where(
        rest >= some,
        gammaln(rest + 1)
        - gammaln(np.maximum(rest - some, 0) + 1)
        - gammaln(queries + 1)
        + gammaln(queries - some + 1),
        -np.inf,
    )
    return float((1 - np.exp(missed)).sum())


def _extrapolated(rows: Rows, gallery_rows: int, queries: Sequence[int]) -> Values:
    """What these queries touch, and what the fitted law adds until there are so many."""
    times, count = _times(rows), len(rows)
    alpha, beta = _law(times, count, gallery_rows)
    missed = np.exp(betaln(alpha, beta + np.array([count, *queries])) - betaln(alpha, beta))
    result: Values = len(times) + gallery_rows * (missed[0] - missed[1:])
    return result


def _law(times: Rows, queries: int, gallery_rows: int) -> tuple[float, float]:
    """The parameters of the beta-binomial law with the observed mean that makes these numbers most likely."""
    mean = times.sum() / (gallery_rows * queries)
    values, rows = np.unique(np.append(times, 0), return_counts=True)
    rows[0] = gallery_rows - len(times)
    if mean >= 1:
        return 1e9, 1e-9  # every query touches every row

    def unlikely(concentration: float) -> float:
        alpha, beta = mean * np.exp(concentration), (1 - mean) * np.exp(concentration)
        each = betaln(alpha + values, beta + queries - values) - betaln(alpha, beta)
        return -float((rows * each).sum())

    best = np.exp(minimize_scalar(unlikely, bounds=CONCENTRATION, method="bounded").x)
    return float(mean * best), float((1 - mean) * best)
