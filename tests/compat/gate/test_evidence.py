"""Intervals against scipy, and verdicts at their boundaries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from skipfill.compat.evaluation.per_query import PerQuery
from skipfill.compat.evaluation.statistics.bootstrap import interval, resampled_means
from skipfill.compat.gate.evidence import Evidence, flipped, measure_slice
from skipfill.compat.gate.verdict import judged, requirements_of, worst
from skipfill.store.checks.policy import Policy
from skipfill.store.checks.report import Slice
from skipfill.store.checks.requirement import Requirement
from skipfill.store.errors import SkipfillError


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
NAMES = ("CMC@1", "mAP")


def evidence(stored: PerQuery, reencoded: PerQuery | None = None) -> Evidence:
    count = len(stored["old/old"]["CMC@1"])
    return Evidence(stored, reencoded or {}, "new/new", np.arange(count))


def everything(found: Evidence) -> np.ndarray:
    return np.ones(len(found.clusters), bool)


def differing(lost: int, same: int, won: int) -> Evidence:
    """Queries that the new model loses, leaves as they are, and wins."""
    old = np.concatenate([np.ones(lost), np.ones(same), np.zeros(won)])
    new = np.concatenate([np.zeros(lost), np.ones(same), np.ones(won)])
    return evidence({"old/old": dict.fromkeys(NAMES, old), "new/old": dict.fromkeys(NAMES, new)})


def with_requirements(name: str, found: Evidence, policy: Policy = POLICY) -> Slice:
    """One slice of all queries, measured and its requirements tested, not judged yet."""
    chosen = everything(found)
    required = requirements_of(name, found, chosen, policy)
    return replace(measure_slice(name, found, chosen, policy), requirements=required)


def verdict_of(name: str, found: Evidence, policy: Policy = POLICY) -> Slice:
    return judged([with_requirements(name, found, policy)], policy)[0]


@pytest.mark.parametrize(
    ("name", "lost", "same", "won", "verdict"),
    [
        ("all", 0, 960, 40, "pass"),
        ("all", 20, 960, 20, "inconclusive"),
        ("all", 60, 930, 10, "fail"),
        ("unseen", 0, 1000, 0, "pass"),
        ("unseen", 20, 960, 20, "pass"),
        ("unseen", 30, 960, 10, "inconclusive"),
        ("unseen", 80, 910, 10, "fail"),
    ],
)
def test_the_verdict_of_a_slice(name: str, lost: int, same: int, won: int, verdict: str) -> None:
    assert verdict_of(name, differing(lost, same, won)).verdict == verdict


def test_all_queries_together_may_be_asked_only_not_to_be_worse() -> None:
    assert verdict_of("all", differing(5, 990, 5), replace(POLICY, better=False)).verdict == "pass"


def test_too_few_queries_never_pass() -> None:
    assert verdict_of("all", differing(0, 0, 29)).verdict == "inconclusive"
    assert verdict_of("all", differing(0, 0, 30)).verdict == "pass"
    assert verdict_of("all", differing(29, 0, 0)).verdict == "fail"
    nothing = measure_slice("unseen", differing(0, 9, 0), np.zeros(9, bool), POLICY)
    assert (nothing.queries, nothing.verdict) == (0, "inconclusive")


@pytest.mark.parametrize(("queries", "verdict"), [(145, "inconclusive"), (165, "pass")])
def test_queries_that_all_agree_do_not_make_an_interval_of_no_width(queries: int, verdict: str) -> None:
    """0 worse of n has the probability .98 ** n if the true loss is .02: below .05 from 149 queries on."""
    found = verdict_of("unseen", differing(0, queries, 0))
    assert 0.98**queries <= found.requirements[0].error_of_pass <= 1.25 * 0.98**queries
    assert found.change["CMC@1"].low == pytest.approx(0.05 ** (1 / queries) - 1, rel=0.1)
    assert found.verdict == verdict


def test_more_queries_is_a_number_that_decides() -> None:
    asked = verdict_of("unseen", differing(8, 184, 8)).requirements[0]
    assert asked.verdict == "inconclusive"
    assert asked.more_queries is not None
    grown = 1.03 * (1 + asked.more_queries / 200)
    assert verdict_of("unseen", differing(round(8 * grown), round(184 * grown), round(8 * grown))).verdict == "pass"
    grown = 0.8 * (1 + asked.more_queries / 200)
    assert verdict_of("unseen", differing(round(8 * grown), round(184 * grown), round(8 * grown))).verdict != "pass"
    assert verdict_of("all", differing(10, 480, 10)).requirements[0].more_queries is None


def test_more_queries_decide_what_would_fail_if_it_were_all_that_is_required() -> None:
    """Four slices of which the third fails alone, and not beside the others."""

    def together(times: float) -> Requirement:
        lost = [0, 0, round(18 * times), 0]
        slices = [with_requirements(f"s{n}", differing(one, round(500 * times) - one, 0)) for n, one in enumerate(lost)]
        return judged(slices, POLICY)[2].requirements[0]

    asked = together(1)
    assert (asked.verdict, asked.error_of_fail > 0.05, asked.error_of_fail / 4 < 0.05) == ("inconclusive", True, True)
    assert asked.more_queries is not None
    assert together(1 + 1.3 * asked.more_queries / 500).verdict == "fail"
    assert together(1 + 0.7 * asked.more_queries / 500).verdict == "inconclusive"


def test_a_budget_of_flips() -> None:
    policy = replace(POLICY, flip_budget=0.05)
    assert verdict_of("all", differing(10, 800, 190), policy).verdict == "pass"
    assert verdict_of("all", differing(45, 700, 255), policy).verdict == "inconclusive"
    assert verdict_of("all", differing(90, 600, 310), policy).verdict == "fail"


def test_flips_are_those_against_the_released_model() -> None:
    """Ninety queries that the released model answers and the old one does not: to lose them is over the budget."""
    found = differing(0, 910, 90)
    released = {name: np.ones(1_000) for name in NAMES}
    new = {name: np.repeat([1.0, 0.0], [910, 90]) for name in NAMES}
    both = evidence({"old/old": found.stored["old/old"], "new/old": new, "released/old": released})
    policy = replace(POLICY, flip_budget=0.05)
    judged_slice = verdict_of("all", both, policy)
    assert judged_slice.flips == {"negative": 90, "positive": 0}
    assert {one.kind: one.verdict for one in judged_slice.requirements}["flip-budget"] == "fail"
    assert len(flipped([str(place) for place in range(1_000)], both.stored, "mAP").negative) > 0
    alone = evidence({"old/old": found.stored["old/old"], "new/old": new})
    assert verdict_of("all", alone, policy).flips["negative"] == 0


def test_fails_are_adjusted_for_all_slices_together() -> None:
    """Holm's procedure as statsmodels and R have it: m, m - 1, ... times the smallest errors, never decreasing."""
    slices = [with_requirements(f"s{n}", differing(20 + 3 * n, 700, 0)) for n in range(4)]
    raw = np.array([one.requirements[0].error_of_fail for one in slices])
    slow = np.empty(4)
    for rank, place in enumerate(np.argsort(raw)):
        slow[place] = min(1, max((4 - k) * raw[one] for k, one in enumerate(np.argsort(raw)) if k <= rank))
    ours = [one.requirements[0].error_of_fail for one in judged(slices, POLICY)]
    np.testing.assert_allclose(ours, slow)
    assert (slow > raw).any()


def test_queries_of_one_identity_are_one_piece_of_evidence() -> None:
    """Forty wins by forty people are evidence; forty by one are not."""
    wins = differing(0, 960, 40)
    crowd = verdict_of("all", wins)
    one = verdict_of("all", replace(wins, clusters=np.where(np.arange(1_000) < 960, np.arange(1_000), 960)))
    assert crowd.verdict == "pass"
    assert (one.queries, one.units, one.verdict) == (1_000, 961, "inconclusive")


def test_a_query_asked_again_is_no_further_evidence() -> None:
    few = differing(1, 45, 4)
    often = {pair: {name: np.tile(values, 50) for name, values in cell.items()} for pair, cell in few.stored.items()}
    again = verdict_of("all", Evidence(often, {}, "new/new", np.tile(np.arange(50), 50)))
    once = verdict_of("all", few)
    assert again.requirements[0].error_of_pass == pytest.approx(once.requirements[0].error_of_pass, abs=0.02)
    assert again.verdict == once.verdict == "inconclusive"


def test_what_is_not_a_number_is_not_judged() -> None:
    broken = differing(0, 100, 100)
    broken.stored["new/old"]["CMC@1"][7] = np.nan
    with pytest.raises(SkipfillError, match="finite"):
        measure_slice("all", broken, everything(broken), POLICY)


def test_a_slice_is_accepted_by_name_only() -> None:
    policy = Policy(accept_worse=("unseen",))
    assert verdict_of("unseen", differing(500, 500, 0), policy).verdict == "pass"
    assert verdict_of("seen", differing(500, 500, 0), policy).verdict == "fail"


def test_the_worst_verdict_counts_and_nothing_is_inconclusive() -> None:
    assert worst(["pass", "fail", "inconclusive"]) == "fail"
    assert worst(["pass", "inconclusive"]) == "inconclusive"
    assert worst(["pass"]) == "pass"
    assert worst([]) == "inconclusive"


def test_flips_are_named_the_largest_change_first() -> None:
    stored = {
        "old/old": {"CMC@1": np.array([1.0, 1, 1, 0, 0]), "mAP": np.array([0.6, 0.9, 0.5, 0.1, 0.1])},
        "new/old": {"CMC@1": np.array([0.0, 0, 1, 1, 1]), "mAP": np.array([0.5, 0.1, 0.5, 0.2, 0.9])},
    }
    found = flipped(list("abcde"), stored, "mAP")
    assert (found.negative, found.positive) == (["b", "a"], ["e", "d"])


def cells(old: float, new: float, top: float, queries: int = 2_000) -> tuple[PerQuery, PerQuery]:
    def column(mean: float) -> dict[str, np.ndarray]:
        values = (np.arange(queries) < mean * queries).astype(float)
        return {"CMC@1": values, "mAP": values}

    stored = {"old/old": column(old), "new/old": column(new)}
    return stored, {**stored, "new/new": column(top)}


def test_update_gain_flips_and_change() -> None:
    stored, again = cells(0.6, 0.7, 0.8)
    found = verdict_of("all", evidence(stored, again))
    gain = found.gain["CMC@1"]
    assert gain is not None
    assert gain.mean == pytest.approx(0.5)
    assert gain.low < 0.5 < gain.high
    assert found.flips == {"negative": 0, "positive": 200}
    assert found.change["mAP"].mean == pytest.approx(0.1)
    assert found.verdict == "pass"


def test_update_gain_is_undefined_without_room() -> None:
    stored, again = cells(0.6, 0.7, 0.6)
    assert verdict_of("all", evidence(stored, again)).gain["CMC@1"] is None
    assert verdict_of("all", evidence(stored)).gain["CMC@1"] is None


def test_a_slice_counts_its_own_queries_only() -> None:
    stored, again = cells(0.5, 0.7, 0.9)
    chosen = np.arange(2_000) >= 1_000
    found = measure_slice("unseen", evidence(stored, again), chosen, POLICY)
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
    found = verdict_of("all", evidence(stored, thinned))
    assert {cell.pair: cell.value.mean for cell in found.cells} == pytest.approx(
        {"old/old": 0.6, "new/old": 0.7, "new/new": 0.8}
    )
    gain = found.gain["CMC@1"]
    assert gain is not None
    assert gain.mean == pytest.approx(0.5)
    nothing = {pair: {metric: np.full(2_000, np.nan) for metric in cell} for pair, cell in again.items()}
    assert verdict_of("all", evidence(stored, nothing)).gain["CMC@1"] is None
