"""The share of a gallery that queries touch, against counting, and its prediction against what came."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from skipfill.compat.reranking.touched import measured, predicted


def test_the_curve_is_the_mean_over_all_choices_of_queries() -> None:
    rows = np.random.default_rng(0).permuted(np.tile(np.arange(9), (7, 1)), axis=1)[:, :3]
    rows[2, 1:] = -1
    for some in range(1, 8):
        counts = [len(set(rows[list(chosen)].ravel().tolist()) - {-1}) for chosen in combinations(range(7), some)]
        [found] = measured(rows, [some])
        assert found.rows == pytest.approx(np.mean(counts))
        assert (found.queries, found.low, found.high) == (some, found.rows, found.rows)


def drawn(random: np.random.Generator, queries: int, k: int, gallery: int, popular: float) -> np.ndarray:
    """Queries whose candidates are some rows more often than others, the more unequally the larger `popular`."""
    weights = np.exp(popular * random.normal(size=gallery))
    keys = random.exponential(size=(queries, gallery)) / weights
    return np.argpartition(keys, k, axis=1)[:, :k]


@pytest.mark.parametrize("popular", [0.0, 1.0])
@pytest.mark.parametrize("times", [2, 10])
def test_the_band_holds_what_comes(popular: float, times: int) -> None:
    held, narrow = 0, 0
    for seed in range(20):
        rows = drawn(np.random.default_rng(seed), 600, 10, 2_000, popular)
        [found] = predicted(rows[: 600 // times], 2_000, [600])
        truth = len(np.unique(rows))
        held += found.low <= truth <= found.high
        narrow += found.high - found.low < 2_000 / 2
    assert held >= 19
    assert narrow >= 18


def test_few_queries_predict_nothing_and_all_rows_stay_all_rows() -> None:
    random = np.random.default_rng(0)
    assert predicted(drawn(random, 19, 5, 100, 1.0), 100, [100]) == []
    everything = np.tile(np.arange(40), (50, 1))
    [found] = predicted(everything, 40, [500])
    assert found.rows == found.low == found.high == 40
    [found] = predicted(np.tile(np.arange(5), (50, 1)), 1_000, [5_000])
    assert 5 <= found.low <= found.rows < 7
    assert found.high < 200
