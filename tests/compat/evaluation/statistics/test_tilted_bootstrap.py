"""The test behind every verdict: against the binomial, against drawing, and right as often as it says."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from skipfill.compat.evaluation.statistics.tilted_bootstrap import Clusters, lower_bound, p_above, p_below, upper_bound


@pytest.mark.parametrize(("queries", "lost"), [(100, 0), (200, 1), (400, 3)])
def test_losses_alone_are_the_binomial_test(queries: int, lost: int) -> None:
    values = np.where(np.arange(queries) < lost, -1.0, 0.0)
    exact = scipy.stats.binomtest(lost, queries, 0.02, alternative="less").pvalue
    assert exact <= p_above(Clusters.of(values), -0.02) <= 1.25 * exact  # a little careful
    high = scipy.stats.binomtest(lost, queries).proportion_ci(0.90, "exact").high
    assert high <= -lower_bound(Clusters.of(values), 0.05) <= 1.1 * high


def test_the_distribution_is_that_of_draws_from_the_tilted_sample() -> None:
    """The same tilt, and a hundred thousand draws."""
    random = np.random.default_rng(0)
    values = random.choice([-1.0, 0, 1], 60, p=[0.1, 0.7, 0.2])
    threshold = -0.02
    sample, mass = np.concatenate([values, [-1, 1]]) - threshold, np.append(np.ones(60), [0.5, 0.5])
    tilt = scipy.optimize.brentq(lambda one: (mass * np.exp(one * sample) * sample).sum(), -50, 50)
    weights = mass * np.exp(tilt * sample) / (mass * np.exp(tilt * sample)).sum()
    drawn = random.choice(sample, (100_000, 60), p=weights).sum(axis=1)
    slow = (drawn >= (values - threshold).sum() - 1e-9).mean()
    assert p_above(Clusters.of(values), threshold) == pytest.approx(slow, abs=0.003)


def test_many_values_are_the_normal_theory() -> None:
    values = np.clip(np.random.default_rng(0).normal(0.01, 0.1, 4_000), -1, 1)
    clusters = Clusters.of(values)
    reach = 1.645 * values.std() / np.sqrt(4_000)
    assert lower_bound(clusters, 0.05) == pytest.approx(values.mean() - reach, abs=1e-4)
    assert upper_bound(clusters, 0.05) == pytest.approx(values.mean() + reach, abs=1e-4)
    assert p_below(clusters, 0.015) == pytest.approx(
        scipy.stats.norm.cdf((values.mean() - 0.015) / reach * 1.645), abs=2e-3
    )


def test_as_if_there_were_more() -> None:
    values = np.random.default_rng(0).choice([-1.0, 0, 1], 300, p=[0.05, 0.9, 0.05])
    assert p_above(Clusters.of(values), -0.03, times=3) == pytest.approx(
        p_above(Clusters.of(np.tile(values, 3)), -0.03), rel=0.02
    )


def test_clusters_of_one_are_values_and_larger_ones_are_wider() -> None:
    values = np.random.default_rng(0).choice([-1.0, 0, 1], 400, p=[0.1, 0.7, 0.2])
    assert p_above(Clusters.of(values, np.arange(400)), 0.05) == p_above(Clusters.of(values), 0.05)
    together = Clusters.of(np.repeat(values, 5), np.repeat(np.arange(400), 5))
    assert together.mean == pytest.approx(values.mean())
    assert lower_bound(together, 0.05) == pytest.approx(lower_bound(Clusters.of(values), 0.05), abs=5e-3)


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
def test_values_that_are_all_alike(value: float) -> None:
    clusters = Clusters.of(np.full(50, value))
    assert -1 <= lower_bound(clusters, 0.05) <= value <= upper_bound(clusters, 0.05) <= 1
    assert lower_bound(clusters, 0.05) < upper_bound(clusters, 0.05)


@pytest.mark.parametrize("queries", [30, 200, 1_000])
@pytest.mark.parametrize(("lost", "won"), [(0.02, 0.0), (0.06, 0.04), (0.16, 0.14)])
def test_a_model_just_worse_by_the_margin_passes_one_time_in_twenty(queries: int, lost: float, won: float) -> None:
    """The benchmark tests/benchmarks/calibration.py has the whole table."""
    random = np.random.default_rng(queries)
    counts = random.multinomial(queries, [lost, 1 - lost - won, won], 1_500)
    known: dict[tuple[int, ...], float] = {}
    for one in counts:
        key = tuple(one.tolist())
        known.setdefault(key, p_above(Clusters.of(np.repeat([-1.0, 0, 1], one)), -0.02))
    wrong = np.mean([known[tuple(one.tolist())] <= 0.05 for one in counts])
    assert wrong <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 1_500)


@pytest.mark.parametrize("seed", range(20))
def test_bounds_of_an_error_of_a_half_are_near_the_mean(seed: int) -> None:
    values = np.random.default_rng(seed).integers(-1, 2, 192).astype(float)
    found = Clusters.of(values)
    assert found.mean - 0.02 <= lower_bound(found, 0.5) <= found.mean + 1e-9
    assert found.mean - 1e-9 <= upper_bound(found, 0.5) <= found.mean + 0.02
