"""Tests whether a mean is above a threshold, exactly even for few values and rare events. Works on arrays alone.

The test is the tilted bootstrap. Of all reweightings of the sample whose mean is the threshold, the nearest one stands
for the null hypothesis. It is the nearest in Kullback-Leibler divergence: its weights are proportional to exp(lambda
x). The distribution of the sum of n draws from it is computed on a grid, by the n-th power of a Fourier transform.
Nothing is drawn, so the same sample always gets the same answer.

A percentile interval of the plain bootstrap cannot show outcomes that are missing from the sample. Here half a cluster
is added to the sample at either end of the range. With losses alone, the test is then nearly the binomial one.

Source: Efron 1981 (nonparametric tilting); Davison and Hinkley 1997, section 4.4; calibration:
tests/benchmarks/calibration.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.optimize import brentq

Values = NDArray[np.float64]
GRID = 2**19
"""Most steps of the grid of a sum, unless there are so many clusters that a value has only 11 levels."""


@dataclass(frozen=True)
class Clusters:
    """Values in [-1, 1], summed over C clusters that are drawn as a whole (a query, or all queries of an identity).

    Attributes:
        sums: (C,) sum of the values in each cluster.
        sizes: (C,) number of values in each cluster.
    """

    sums: Values
    sizes: Values

    @classmethod
    def of(cls, values: Values, clusters: NDArray[np.int64] | None = None) -> Clusters:
        """Sum (Q,) values over (Q,) numbered clusters; None if each value is its own cluster."""
        if clusters is None:
            return cls(values, np.ones(len(values)))
        _, places = np.unique(clusters, return_inverse=True)
        sizes: Values = np.bincount(places).astype(np.float64)
        sums: Values = np.bincount(places, weights=values).astype(np.float64)
        return cls(sums, sizes)

    @property
    def mean(self) -> float:
        return float(self.sums.sum() / self.sizes.sum())

    def mirrored(self) -> Clusters:
        """The values with the opposite sign."""
        return Clusters(-self.sums, self.sizes)


def p_above(clusters: Clusters, threshold: float, times: float = 1.0) -> float:
    """Probability of a mean at least this high if the true mean were `threshold`. A small one shows that it is higher.

    Args:
        threshold: in (-1, 1).
        times: the answer is for this many times as many clusters like these.
    """
    excess = clusters.sums - threshold * clusters.sizes
    if excess.sum() <= 0:
        return 1.0
    largest = float(clusters.sizes.max())  # the largest cluster could have gained, or lost, on all of its values
    low, high = (-1 - threshold) * largest, (1 - threshold) * largest
    count = round(times * len(excess))
    levels, mass = _on_a_grid(excess, low, high, count)
    mass = times * mass
    mass[[0, -1]] += 0.5
    probability = _tilted(np.linspace(low, high, levels), mass)
    size = count * (levels - 1) + 1
    length = next_fast_len(size, real=True)
    total = irfft(rfft(probability, length) ** count, length)[:size]
    step = (high - low) / (levels - 1)
    observed = int(np.ceil((excess.mean() - low) * count / step - 1e-6))
    return float(np.clip(total[observed:].sum(), 0, 1))


def p_below(clusters: Clusters, threshold: float, times: float = 1.0) -> float:
    """Probability of a mean at most this high if the true mean were `threshold`. A small one shows that it is lower."""
    return p_above(clusters.mirrored(), -threshold, times)


def lower_bound(clusters: Clusters, error: float) -> float:
    """The highest threshold that the mean is above with this error: a one-sided confidence bound."""
    if clusters.mean <= -1:
        return -1.0
    if p_above(clusters, clusters.mean) <= error:  # the bound is at the mean itself, for an error of about a half
        return clusters.mean
    found: float = brentq(lambda threshold: p_above(clusters, threshold) - error, -1 + 1e-9, clusters.mean, xtol=1e-6)
    return found


def upper_bound(clusters: Clusters, error: float) -> float:
    """The lowest threshold that the mean is below with this error."""
    return -lower_bound(clusters.mirrored(), error)


def _on_a_grid(values: Values, low: float, high: float, count: int) -> tuple[int, Values]:
    """Number of equidistant levels, and the mass of the values at each; a value between two levels is split.

    Splitting keeps the mean. Values that change by whole hits (-1, 0, 1) fall on three levels exactly.
    """
    levels = 3 if _fit(values, low, high, 3) else max(11, min(201, GRID // count))
    place = (values - low) / (high - low) * (levels - 1)
    left = np.clip(np.floor(place + 1e-9).astype(np.int64), 0, levels - 2)
    share = np.clip(place - left, 0, 1)
    mass: Values = np.bincount(left, weights=1 - share, minlength=levels).astype(np.float64)
    return levels, mass + np.bincount(left + 1, weights=share, minlength=levels)


def _fit(values: Values, low: float, high: float, levels: int) -> bool:
    place = (values - low) / (high - low) * (levels - 1)
    return bool(np.allclose(place, np.round(place), atol=1e-9))


def _tilted(levels: Values, mass: Values) -> Values:
    """Probabilities proportional to mass * exp(lambda * level) whose mean is 0."""
    held = mass > 0
    logs, points = np.log(mass[held]), levels[held]

    def weights(tilt: float) -> Values:
        exponents = logs + tilt * points
        raised: Values = np.exp(exponents - exponents.max())
        raised /= raised.sum()
        return raised

    reach = 1.0
    while weights(-reach) @ points > 0 or weights(reach) @ points < 0:
        reach *= 2
    tilt = brentq(lambda one: float(weights(one) @ points), -reach, reach, xtol=1e-12)
    probability = np.zeros(len(levels))
    probability[held] = weights(tilt)
    return probability
