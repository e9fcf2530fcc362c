"""Intervals against scipy, and verdicts at their boundaries."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from skipfill.compat.bootstrap import interval, resampled_means
from skipfill.compat.evidence import PerQuery, Policy, judge, measure_slice, worst
from skipfill.store.checks import Interval


def test_the_interval_is_scipys_percentile_bootstrap() -> None:
    random = np.random.default_rng(0)
    values = random.integers(-1, 2, size=(400, 1)).astype(float)
    ours = interval(values.mean(), resampled_means(values, 8_000, 1)[:, 0], 0.95)
    theirs = scipy.stats.bootstrap(
        (values[:, 0],), np.mean, n_resamples=8_000, confidence_level=0.95, method="percentile", rng=random
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.01)
    assert ours.high == pytest.approx(theirs.high, abs=0.01)


def test_draws_are_paired_and_in_chunks() -> None:
    values = np.random.default_rng(0).normal(size=(3_000, 2))
    values[:, 1] = values[:, 0] + 1
    drawn = resampled_means(values, 3_000, 0)  # more than one chunk
    assert drawn.shape == (3_000, 2)
    np.testing.assert_allclose(drawn[:, 1] - drawn[:, 0], 1)
    assert drawn[:, 0].std() == pytest.approx(values[:, 0].std() / np.sqrt(3_000), rel=0.1)


POLICY = Policy(margin=0.02)


@pytest.mark.parametrize(
    ("name", "low", "high", "verdict"),
    [
        ("all", 0.001, 0.1, "pass"),
        ("all", 0.0, 0.1, "inconclusive"),
        ("all", -0.1, 0.0, "fail"),
        ("all", -0.1, 0.001, "inconclusive"),
        ("others", -0.019, 0.1, "pass"),
        ("others", -0.02, 0.1, "inconclusive"),
        ("others", -0.3, -0.021, "fail"),
        ("others", float("nan"), 0.1, "inconclusive"),
    ],
)
def test_the_verdict_of_a_slice(name: str, low: float, high: float, verdict: str) -> None:
    assert judge(name, 1_000, Interval(0.0, low, high), POLICY) == verdict


def test_too_few_queries_are_no_evidence() -> None:
    assert judge("all", 29, Interval(0.5, 0.4, 0.6), POLICY) == "inconclusive"


@pytest.mark.parametrize(("queries", "verdict"), [(30, "inconclusive"), (180, "inconclusive"), (190, "pass")])
def test_queries_that_all_agree_do_not_make_an_interval_of_no_width(queries: int, verdict: str) -> None:
    """0 worse of n bounds the share of worse ones at -ln(.025) / n: below .02 from 185 queries on."""
    values = {"CMC@1": np.ones(queries), "mAP": np.ones(queries)}
    found = measure_slice(
        "others", {"old/old": values, "new/old": values}, {}, "new/new", np.ones(queries, bool), POLICY
    )
    assert found.change["CMC@1"].low == pytest.approx(np.log(0.025) / queries)
    assert found.verdict == verdict


def test_a_slice_is_accepted_by_name_only() -> None:
    policy = Policy(accept_worse=("others",))
    assert judge("others", 1_000, Interval(-0.5, -0.6, -0.4), policy) == "pass"
    assert judge("trained-on", 1_000, Interval(-0.5, -0.6, -0.4), policy) == "fail"


def test_the_worst_verdict_counts_and_nothing_is_inconclusive() -> None:
    assert worst(["pass", "fail", "inconclusive"]) == "fail"
    assert worst(["pass", "inconclusive"]) == "inconclusive"
    assert worst(["pass"]) == "pass"
    assert worst([]) == "inconclusive"


def cells(old: float, new: float, top: float, queries: int = 2_000) -> tuple[PerQuery, PerQuery]:
    def column(mean: float) -> dict[str, np.ndarray]:
        values = (np.arange(queries) < mean * queries).astype(float)
        return {"CMC@1": values, "mAP": values}

    stored = {"old/old": column(old), "new/old": column(new)}
    return stored, {**stored, "new/new": column(top)}


def test_update_gain_flips_and_change() -> None:
    stored, again = cells(0.6, 0.7, 0.8)
    found = measure_slice("all", stored, again, "new/new", np.ones(2_000, bool), POLICY)
    gain = found.gain["CMC@1"]
    assert gain is not None
    assert gain.mean == pytest.approx(0.5)
    assert gain.low < 0.5 < gain.high
    assert found.flips == {"negative": 0, "positive": 200}
    assert found.change["mAP"].mean == pytest.approx(0.1)
    assert found.verdict == "pass"


def test_update_gain_is_undefined_without_room() -> None:
    stored, again = cells(0.6, 0.7, 0.6)
    assert measure_slice("all", stored, again, "new/new", np.ones(2_000, bool), POLICY).gain["CMC@1"] is None
    assert measure_slice("all", stored, {}, "new/new", np.ones(2_000, bool), POLICY).gain["CMC@1"] is None


def test_a_slice_counts_its_own_queries_only() -> None:
    stored, again = cells(0.5, 0.7, 0.9)
    chosen = np.arange(2_000) >= 1_000
    found = measure_slice("others", stored, again, "new/new", chosen, POLICY)
    assert found.queries == 1_000
    assert {cell.pair: cell.value.mean for cell in found.cells if cell.metric == "mAP"} == pytest.approx(
        {"old/old": 0.0, "new/old": 0.4, "new/new": 0.8}
    )


def test_queries_with_nothing_to_find_among_the_rows_at_hand_do_not_dilute_new_new() -> None:
    stored, again = cells(0.6, 0.7, 0.8)
    blind = np.arange(2_000) % 2 == 0
    thinned = {
        pair: {metric: np.where(blind, np.nan, values) for metric, values in cell.items()}
        for pair, cell in again.items()
    }
    found = measure_slice("all", stored, thinned, "new/new", np.ones(2_000, bool), POLICY)
    assert {cell.pair: cell.value.mean for cell in found.cells} == pytest.approx(
        {"old/old": 0.6, "new/old": 0.7, "new/new": 0.8}
    )
    gain = found.gain["CMC@1"]
    assert gain is not None
    assert gain.mean == pytest.approx(0.5)
    nothing = {pair: {metric: np.full(2_000, np.nan) for metric in cell} for pair, cell in again.items()}
    assert measure_slice("all", stored, nothing, "new/new", np.ones(2_000, bool), POLICY).gain["CMC@1"] is None
