"""The share of a gallery that queries touch: measured, and predicted for more queries, with a band.

Measured by rarefaction (Hurlbert 1971): the exact mean over all choices of that many of the queries.

Predicted by two distributions of the probability that a row is a candidate, beta and logit-normal. They are fitted to
how often each row was a candidate. Untouched rows count as well: their number is known, unlike that of unseen species.
The likelier distribution gives the prediction. The band covers both, each with three standard errors by the jackknife
over groups of queries (Efron and Tibshirani 1993, section 11.5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.special import betaln, expit, gammaln, log_expit, logsumexp

from skipfill.compat.evaluation.statistics.bootstrap import Values
from skipfill.store.checks.reranking import TouchedRows

Rows = NDArray[np.int64]
GROUPS = 10
"""Groups of queries that the jackknife leaves out, one after the other."""
ERRORS = 3.0
"""Standard errors from the prediction to either end of the band."""
FEWEST = 20
"""Fewest queries from which anything is predicted."""


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
    parts = [_extrapolated(rows[groups != one], gallery_rows, queries)[0] for one in range(GROUPS)]
    left_out = np.stack(parts)  # (groups, laws, queries)
    errors = np.sqrt((GROUPS - 1) / GROUPS * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
    means, likelier = _extrapolated(rows, gallery_rows, queries)
    ends = (means - ERRORS * errors).min(axis=0), means[likelier], (means + ERRORS * errors).max(axis=0)
    low, mean, high = (np.clip(one, len(_times(rows)), gallery_rows).tolist() for one in ends)
    return [TouchedRows(*one) for one in zip(queries, mean, low, high, strict=True)]


def _times(rows: Rows) -> Rows:
    """(n,) how often each candidate row is one; rows that never are, are left out."""
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


def _extrapolated(rows: Rows, gallery_rows: int, queries: Sequence[int]) -> tuple[Values, int]:
    """(laws, n) number of rows touched by n numbers of queries, as each fitted law predicts it; the likelier law."""
    times, count = _times(rows), len(rows)
    mean = times.sum() / (gallery_rows * count)
    if mean >= 1:  # every query touches every row
        return np.full((len(LAWS), len(queries)), float(gallery_rows)), 0
    values, numbers = np.unique(np.append(times, 0), return_counts=True)
    numbers[0] = gallery_rows - len(times)
    until, found, unlikely = np.array([count, *queries]), [], []
    for law, bounds in LAWS:

        def against(parameter: float, law: Law = law) -> float:
            return -float((numbers * law(mean, parameter, values, count - values)).sum())

        best = minimize_scalar(against, bounds=bounds, method="bounded")
        missed = np.exp(law(mean, best.x, np.zeros(len(until), np.int64), until))
        found.append(len(times) + gallery_rows * (missed[0] - missed[1:]))
        unlikely.append(best.fun)
    return np.stack(found), int(np.argmin(unlikely))


def _beta(mean: float, spread: float, hits: Rows, misses: Rows) -> Values:
    """Logarithm of the probability of one series of this many hits and misses.

    A row's own probability is drawn from the beta law of this mean; `spread` is the logarithm of its concentration.
    """
    alpha, beta = mean * np.exp(spread), (1 - mean) * np.exp(spread)
    logarithm: Values = betaln(alpha + hits, beta + misses) - betaln(alpha, beta)
    return logarithm


def _logit_normal(mean: float, spread: float, hits: Rows, misses: Rows) -> Values:
    """The same for a probability whose logit is normal with standard deviation `spread`."""
    centre = brentq(lambda one: float(WEIGHTS @ expit(one + spread * NORMAL)) - mean, -60.0, 60.0)
    logits = centre + spread * NORMAL
    each = hits[:, None] * log_expit(logits) + misses[:, None] * log_expit(-logits)
    logarithm: Values = logsumexp(each, axis=1, b=WEIGHTS)
    return logarithm


Law = Callable[[float, float, Rows, Rows], Values]
LAWS: tuple[tuple[Law, tuple[float, float]], ...] = ((_beta, (-5.0, 15.0)), (_logit_normal, (0.0, 6.0)))
"""Each law, with the bounds of the search for its parameter."""
NORMAL = np.linspace(-6, 6, 401)
WEIGHTS = np.exp(-(NORMAL**2) / 2) / np.exp(-(NORMAL**2) / 2).sum()
"""Standard normal numbers on a grid, and their probabilities."""
