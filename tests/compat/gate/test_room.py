"""A random order of the rows against closed forms, and near copies against all pairs."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from scipy.stats import hypergeom

from skipfill.compat.gate.admission import room
from skipfill.compat.gate.admission.near_copies import joined, near_copies
from skipfill.compat.gate.admission.room import random_order
from skipfill.compat.metrics.ranking import Ranking
from skipfill.store.parquet.vectors import normalised

ROWS, RELEVANT = 200, (1, 3, 10, 60)


def harmonic(count: int) -> float:
    return float((1 / np.arange(1, count + 1)).sum())


def average_precision(rows: int, relevant: int) -> float:
    """Source: Bestgen 2015, Exact expected average precision of the random baseline."""
    return (harmonic(rows) + (relevant - 1) / (rows - 1) * (rows - harmonic(rows))) / rows


def reciprocal_rank(rows: int, relevant: int) -> float:
    none_before = np.cumprod([1, *((rows - relevant - np.arange(rows - 1)).clip(0) / (rows - np.arange(rows - 1)))])
    first = none_before * relevant / (rows - np.arange(rows))
    return float((first.clip(0, 1) / np.arange(1, rows + 1)).sum())


def ndcg(rows: int, relevant: int, k: int = 10) -> float:
    discounts = 1 / np.log2(np.arange(2, k + 2))
    return float(relevant / rows * discounts.sum() / discounts[:relevant].sum())


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("CMC@1", lambda rows, relevant: relevant / rows),
        ("CMC@5", lambda rows, relevant: 1 - hypergeom.pmf(0, rows, relevant, 5)),
        ("recall@50", lambda rows, relevant: 50 / rows),
        ("mAP", average_precision),
        ("MRR", reciprocal_rank),
        ("nDCG@10", ndcg),
        ("TAR@FAR=0.1", lambda rows, relevant: 0.1),
    ],
)
@pytest.mark.parametrize("relevant", RELEVANT)
def test_a_random_order_has_the_mean_of_the_closed_form(name: str, exact: object, relevant: int) -> None:
    assert callable(exact)
    grades = [np.ones(relevant, np.float32)] * 20
    simulated = random_order(name, np.full(20, ROWS), grades)
    assert simulated == pytest.approx(exact(ROWS, relevant), abs=0.02)


def test_many_queries_are_drawn_from() -> None:
    grades = [np.ones(10, np.float32)] * 50_000
    began = time.monotonic()
    assert random_order("recall@100", np.full(50_000, ROWS), grades) == pytest.approx(0.5, abs=0.02)
    assert time.monotonic() - began < 5


def test_many_relevant_rows_are_drawn_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "DRAWN", 1_000_000)
    drawn = []
    monkeypatch.setattr(room, "Ranking", lambda *ranking: drawn.append(ranking) or Ranking(*ranking))
    grades = [np.ones(20_000, np.float32)] * 20
    assert random_order("recall@20000", np.full(20, 200_000), grades) == pytest.approx(0.1, abs=0.002)
    assert len(drawn) == 200


def test_near_copies_are_the_pairs_below_the_distance_and_what_they_chain() -> None:
    random = np.random.default_rng(0)
    centres = normalised(random.normal(size=(300, 16)).astype(np.float32))
    apart = np.repeat([0.0, 1e-6, 1e-5, 3e-4, 3e-3], 60)[:, None]
    vectors = normalised(np.concatenate([centres, centres + apart * normalised(random.normal(size=(300, 16)))]))
    groups = near_copies(None, vectors.astype(np.float32))
    exact = vectors.astype(np.float64)
    near = 1 - exact @ exact.T < 1e-6
    for first, second in zip(*np.nonzero(near), strict=True):
        assert groups[first] == groups[second]
    assert len(np.unique(groups)) == 300 + 60


def test_near_copies_of_many_queries_are_found_fast() -> None:
    random = np.random.default_rng(0)
    spread = normalised(random.normal(size=(10_000, 384)).astype(np.float32))
    collapsed = normalised(spread[:1] + 1e-6 * spread)
    tight = normalised(spread[:1] + 1e-2 * spread)
    began = time.process_time()
    counts = [len(np.unique(near_copies(None, one))) for one in (spread, collapsed, tight)]
    assert time.process_time() - began < 20
    assert counts == [10_000, 1, 10_000]


@pytest.mark.parametrize("apart", [0.0, 3e-5, 1.5e-4], ids=["equal", "near", "not so near"])
def test_near_copies_of_a_model_that_collapsed_take_bounded_memory(apart: float) -> None:
    """All near one vector, in cells of their own: 200 million pairs are near in the projection."""
    random = np.random.default_rng(0)
    noise = random.normal(size=(20_000, 128)).astype(np.float32)
    vectors = normalised(normalised(random.normal(size=(1, 128)).astype(np.float32)) + np.float32(apart) * noise)
    tracemalloc.start()
    groups = near_copies(None, vectors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400e6
    assert len(np.unique(groups)) == (20_000 if apart > 1e-4 else 1)


def test_groups_are_joined_by_whatever_joins_them() -> None:
    groups = joined([np.array([0, 0, 1, 2, 3]), np.array([0, 1, 1, 2, 3])])
    assert len(set(groups[:3].tolist())) == 1
    assert len(set(groups.tolist())) == 3
