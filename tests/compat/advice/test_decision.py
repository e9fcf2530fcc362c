"""The choice on one half of the queries and the test on the other, on drawn numbers of which the truth is known."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from skipfill.compat.advice.decision import Alternative, Decision, choosing_half, decided, judged_alone
from skipfill.compat.advice.table import together
from skipfill.store.checks.policy import Policy

QUERIES = 300


def decision(alternatives: list[Alternative], seed: int, policy: Policy = Policy()) -> Decision:
    clusters = np.arange(len(alternatives[0].values))
    choosing = choosing_half(clusters, seed)
    return decided(
        alternatives,
        clusters,
        choosing,
        policy,
        lambda place, asked: judged_alone(alternatives[place], clusters, asked, policy),
    )


def drawn(random: np.random.Generator, *shares: float, base: float = 0.5) -> list[Alternative]:
    """Alternatives that are right on these shares of the queries, each query at random, and cost 1, 2, ..."""
    staying = (random.random(QUERIES) < base).astype(float)
    right = [(random.random(QUERIES) < share).astype(float) for share in shares]
    return [Alternative(cost, values, staying) for cost, values in enumerate(right, 1)]


def outcomes(*shares: float, draws: int = 120) -> Counter[str]:
    random = np.random.default_rng(0)
    return Counter(decision(drawn(random, *shares), seed).outcome for seed in range(draws))


def test_a_much_better_alternative_is_recommended() -> None:
    assert outcomes(0.8, draws=30) == {"change": 30}


def test_staying_is_said_where_all_alternatives_are_far_below_it() -> None:
    assert outcomes(0.2, 0.1, 0.3, draws=30) == {"stay": 30}


def test_alternatives_as_good_as_staying_are_recommended_in_at_most_5_percent() -> None:
    """Of three alternatives the best on the choosing half would pass far more often if that half tested it too."""
    found = outcomes(0.5, 0.5, 0.5)
    assert found["change"] <= 120 * 0.05 + 3  # a binomial of 120 draws at 5% is above 9 in 1 of 20 cases, of 1% never
    assert found["stay"] + found["undecided"] == 120 - found["change"]


def test_what_looks_better_but_not_significantly_is_undecided() -> None:
    random = np.random.default_rng(3)
    staying = (random.random(QUERIES) < 0.5).astype(float)
    some = random.permutation(QUERIES)
    better = staying.copy()
    better[some[:30]] = 1 - better[some[:30]]  # as many up as down
    down = np.flatnonzero((staying == 1) & (better == 0))
    better[down[:5]] = 1  # a few more up: above one standard error of 0.017, below the 1.6 of a test
    assert 0 < (better - staying).mean() < 0.05
    found = decision([Alternative(1, better, staying)], 0)
    assert found.outcome == "undecided"


def test_few_queries_do_not_say_stay() -> None:
    values = np.zeros(40)
    assert decision([Alternative(1, values, values)], 0).outcome == "undecided"
    assert decision([Alternative(1, values, values)], 0, Policy(least_queries=20)).outcome == "stay"


def test_of_alternatives_as_good_as_each_other_the_cheapest_leads() -> None:
    random = np.random.default_rng(1)
    staying = (random.random(QUERIES) < 0.4).astype(float)
    good = (random.random(QUERIES) < 0.9).astype(float)
    nearly = good.copy()
    nearly[np.flatnonzero(good)[0]] = 0
    dear, cheap = Alternative(3, good, staying), Alternative(1, nearly, staying)
    assert decision([dear, cheap], 0).leading == 1
    assert decision([dear, Alternative(1, staying, staying)], 0).leading == 0


def test_queries_with_nothing_to_find_do_not_count() -> None:
    random = np.random.default_rng(2)
    (full,) = drawn(random, 0.9)
    gone = random.random(QUERIES) < 0.3
    partial = Alternative(1, np.where(gone, np.nan, full.values), np.where(gone, np.nan, full.staying))
    assert decision([partial], 0).outcome == "change"
    assert decision([partial], 0, Policy(least_queries=140)).outcome == "undecided"  # about 105 are left


def test_halves_hold_whole_clusters() -> None:
    clusters = np.repeat(np.arange(40), 3)
    half = choosing_half(clusters, 0)
    assert half.sum() == 60
    assert (half.reshape(40, 3).all(axis=1) | ~half.reshape(40, 3).any(axis=1)).all()
    assert (choosing_half(clusters, 1) != half).any()


def test_models_that_encode_one_after_the_other_add_their_times() -> None:
    assert together({"new": 100.0, "old": 50.0}, ["new", "old"]) == pytest.approx(1 / (1 / 100 + 1 / 50))
    assert together({"new": 100.0}, ["new", "old"]) is None
