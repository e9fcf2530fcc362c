"""Thresholds transferred between two encoders of Omniglot: the rate on other classes is in the stated interval."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from skipfill.compat.evaluation.statistics.score_histogram import (
    BINS,
    ScoreCounts,
    accepted,
    bin_numbers,
    cutoff_for,
    mean_accepted,
)
from skipfill.compat.evaluation.statistics.threshold_transfer import ENOUGH, rule, transferred
from skipfill.store.checks.report import Flips, Report, Threshold
from skipfill.store.checks.saved_reports import load_report, save_report
from skipfill.store.errors import BadInput
from skipfill.store.galleries.log import latest, read_version
from skipfill.store.models.cards import load_card
from skipfill.store.releases.plan import read_plan
from skipfill.store.releases.rollback import rollback
from skipfill.store.releases.swap import apply_plan, plan_swap
from tests.conftest import Skipfill
from tests.store.stores import store_with

CLASSES, DRAWINGS, STORED, ASKED = 600, 20, 7, 2
WIDTH = 2 / BINS


@cache
def scores() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(Q, G) cosines of two drawings of each character and seven others, by two projections; (Q,) class of a query."""
    with (files("skipfill.cli.demo_data") / "omniglot.parquet").open("rb") as handle:
        table = pq.read_table(handle).sort_by([("label", "ascending"), ("id", "ascending")])
    images = [Image.open(io.BytesIO(one["bytes"])).convert("L") for one in table.column("image").to_pylist()]
    pixels = np.stack([np.asarray(one, np.float32).ravel() / 255 for one in images])
    label, turn = np.divmod(np.arange(len(pixels)), DRAWINGS)
    stored, asked = turn < STORED, turn >= DRAWINGS - ASKED
    found = []
    for known, dim, whitening in ((150, 16, 0.0), (400, 64, 0.5)):
        seen = pixels[stored & (label < known)]
        _, sizes, axes = np.linalg.svd(seen - seen.mean(axis=0), full_matrices=False)
        vectors = (pixels - seen.mean(axis=0)) @ axes[:dim].T / sizes[:dim] ** whitening
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        found.append(vectors[asked] @ vectors[stored].T)
    return found[0], found[1], label[asked]


def histograms(values: np.ndarray) -> np.ndarray:
    """(Q, B) by adding one at a time, where the code under test is not used."""
    counts = np.zeros((len(values), BINS), np.int32)
    for query, row in enumerate(values):
        np.add.at(counts[query], np.minimum(((row + 1) / WIDTH).astype(int), BINS - 1), 1)
    return counts


@cache
def counted() -> tuple[ScoreCounts, ScoreCounts]:
    old, new, label = scores()
    relevant = label[:, None] == np.repeat(np.arange(CLASSES), STORED)
    return tuple(  # type: ignore[return-value]
        ScoreCounts(
            histograms(one[~relevant].reshape(len(label), -1)), histograms(one[relevant].reshape(len(label), -1))
        )
        for one in (old, new)
    )


@cache
def others(which: int) -> np.ndarray:
    """(Q, G - 7) the scores of rows that are not relevant."""
    label = scores()[2]
    relevant = label[:, None] == np.repeat(np.arange(CLASSES), STORED)
    return scores()[which][~relevant].reshape(len(label), -1)


def of(counts: ScoreCounts, chosen: np.ndarray) -> ScoreCounts:
    assert counts.relevant is not None
    return ScoreCounts(counts.others[chosen], counts.relevant[chosen])


def outside(far: float, resamples: int, units: np.ndarray, told: np.ndarray | None, seed: int) -> tuple[float, float]:
    """Count how often the exact rate on the other half of the `units` is below, and above, the interval from one half.

    Args:
        told: what `transferred` is told of the clusters.
    """
    old, new = counted()
    exact, random = others(1), np.random.default_rng(seed)
    cutoff = cutoff_for(mean_accepted(old.others), far)
    below = above = 0
    for draw in range(resamples):
        half = random.permutation(np.unique(units))[: len(np.unique(units)) // 2]
        first = np.isin(units, half)
        found = transferred(
            of(old, first), of(new, first), cutoff, clusters=None if told is None else told[first], seed=draw
        )
        realised = float((exact >= found.new.mean)[~first].mean())
        below += realised < found.new_rate.low
        above += realised > found.new_rate.high
    return below / resamples, above / resamples


@pytest.mark.parametrize("far", [1e-1, 1e-2, 1e-3])
def test_the_rate_on_other_classes_is_in_the_interval_of_95_percent(far: float) -> None:
    label = scores()[2]
    below, above = outside(far, 100, label, label, seed=0)
    print(f"FAR {far:g}: {1 - below - above:.1%} inside")
    assert below + above <= 0.07
    assert below + above >= 0.005  # and it is no wider than it must be


def test_the_rate_on_other_queries_is_in_the_interval_too() -> None:
    label = scores()[2]
    below, above = outside(1e-2, 60, np.arange(len(label)), None, seed=1)
    assert below + above <= 0.1


def test_classes_that_share_their_fate_must_be_told() -> None:
    """The same resamples of classes, as if every query had been drawn by itself: such intervals are too narrow."""
    below, above = outside(1e-2, 60, scores()[2], None, seed=0)
    assert below + above >= 0.1


def test_the_new_cutoff_is_the_one_that_sorting_all_scores_finds() -> None:
    old, new = counted()
    for far in (0.1, 0.01, 0.001):
        cutoff = float(np.quantile(others(0), 1 - far))
        found = transferred(old, new, cutoff)
        exact = float((others(0) >= cutoff).mean())
        assert found.old_rate == pytest.approx(exact, rel=0.02)
        assert found.new.mean == pytest.approx(np.quantile(others(1), 1 - exact), abs=WIDTH)
        assert found.new_rate.low < exact < found.new_rate.high
        assert found.new.low < found.new.mean < found.new.high
        assert found.pairs == others(0).size
        assert found.units == len(scores()[2])
        assert found.warnings == []


def test_match_rate_counts_every_pair() -> None:
    old, new = counted()
    cutoff = 0.6
    found = transferred(old, new, cutoff, "match-rate")
    every = scores()[0]
    assert found.old_rate == pytest.approx((every >= cutoff).mean(), rel=0.01)
    assert found.new.mean == pytest.approx(np.quantile(scores()[1], 1 - (every >= cutoff).mean()), abs=WIDTH)
    assert found.pairs == every.size
    untold = transferred(ScoreCounts(old.all), ScoreCounts(new.all), cutoff, "match-rate")
    assert (untold.new, untold.new_rate, untold.tar) == (found.new, found.new_rate, {})


def test_true_accept_rates() -> None:
    old, new = counted()
    found = transferred(old, new, 0.6)
    relevant = scores()[2][:, None] == np.repeat(np.arange(CLASSES), STORED)
    assert found.tar["old"] == pytest.approx((scores()[0][relevant] >= 0.6).mean(), abs=0.005)
    assert found.tar["new"] == pytest.approx((scores()[1][relevant] >= found.new.mean).mean(), abs=0.005)
    assert found.tar["new"] > found.tar["old"]


def test_a_model_has_the_cutoffs_of_itself() -> None:
    old, _ = counted()
    for cutoff in (0.3, 0.61234, 0.8):
        found = transferred(old, old, cutoff)
        assert found.new.mean == pytest.approx(cutoff, abs=1e-9)
        assert found.new.low == pytest.approx(found.new.high)  # every resample agrees
        assert found.new_rate.low < found.new_rate.high  # other queries are other queries


def test_counts_at_edges_are_exact_and_linear_between() -> None:
    random = np.random.default_rng(0)
    values = np.clip(random.normal(0.2, 0.4, (5, 300)), -1, 1)
    values[0, :3] = [-1.0, 1.0, 0.5]
    counts = histograms(values)
    assert (np.stack([np.bincount(bin_numbers(row), minlength=BINS) for row in values]) == counts).all()
    assert bin_numbers(np.array([-1.1, 1.0000001])).tolist() == [0, BINS - 1]
    for edge in (-1.0, -0.5, 0.0, 0.5, 0.75):
        np.testing.assert_allclose(accepted(counts, edge), (values >= edge).mean(axis=1))
    halfway = (accepted(counts, 0.5) + accepted(counts, 0.5 + WIDTH)) / 2
    np.testing.assert_allclose(accepted(counts, 0.5 + WIDTH / 2), halfway)
    mean = mean_accepted(counts)
    edges = np.linspace(-1, 1, BINS + 1)
    np.testing.assert_allclose(mean, [accepted(counts, edge).mean() for edge in edges])
    np.testing.assert_allclose(mean[[0, -1]], [1, 0])


def test_queries_count_alike_whatever_their_rows() -> None:
    """A mean over queries of each one's share; a query without any row is none."""
    counts = np.zeros((3, BINS), np.int64)
    counts[0, [100, 1500]] = 1
    counts[1, 100], counts[1, 1500] = 900, 100
    found = transferred(ScoreCounts(counts), ScoreCounts(counts), 0.2)
    assert found.old_rate == pytest.approx((0.5 + 0.1) / 2)
    assert found.units == 2


def test_a_rate_that_rests_on_few_classes_is_marked() -> None:
    old, new = counted()
    label = scores()[2]
    few = label < 8
    cutoff = cutoff_for(mean_accepted(old.others[few]), 1e-3)
    found = transferred(of(old, few), of(new, few), cutoff, clusters=label[few])
    assert found.effective_units < ENOUGH
    assert "its interval is likely too narrow" in found.warnings[0]
    alone = transferred(of(old, label == 0), of(new, label == 0), 0.3, clusters=label[label == 0])
    assert (alone.new_rate.low, alone.new_rate.high) == (0, 1)
    assert alone.warnings


def test_equal_scores_are_marked_and_inside_the_interval() -> None:
    """Nine in ten new scores are the same number: no threshold accepts a third of them, and none is promised."""
    old = np.zeros((50, BINS), np.int64)
    old[:, 1000:1100] = 1
    new = np.zeros((50, BINS), np.int64)
    new[:, 800], new[:, 1200] = 10, 90
    found = transferred(ScoreCounts(old), ScoreCounts(new), 1066 * WIDTH - 1)
    assert found.old_rate == pytest.approx(0.34)
    assert found.new_rate.low == 0
    assert found.new_rate.high >= 0.9
    assert "many new scores are nearly equal to the threshold" in found.warnings[-1]


@pytest.mark.parametrize("cutoff", [1.0, 1.5, float("inf"), -1.0, -7.0, float("nan"), 0.99999])
def test_a_cutoff_without_a_rate_is_refused(cutoff: float) -> None:
    old, new = counted()
    with pytest.raises(BadInput, match="threshold"):
        transferred(old, new, cutoff)


def test_no_pairs_and_unknown_rules_are_refused() -> None:
    nothing = ScoreCounts(np.zeros((3, BINS), np.int64))
    with pytest.raises(BadInput, match="some of the 0 pairs"):
        transferred(nothing, nothing, 0.5)
    with pytest.raises(BadInput, match="nearest: far"):
        rule("fare")


def test_the_swap_takes_the_thresholds_of_its_check(skipfill: Skipfill, tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    card = load_card(objects, "v2")
    made = transferred(*counted(), 0.6)
    now = latest(objects, "g")
    rest = dict.fromkeys(("gallery_rows", "reencoded_rows"), 100) | dict.fromkeys(("ceiling", "baseline"), "")
    report = Report(
        **{"gallery": "g", "version": 1, "state": now.state, "model": "v2", "fingerprint": card.fingerprint},
        **{"verdict": "pass", "why": [], "slices": [], "policy": {}, "warnings": [], "created": "", "seconds": 0.0},
        **rest,
        truth="labels",
        flips=Flips([], []),
        scores=[],
        thresholds=[made],
        rows_state=now.rows_state,
    )
    saved = save_report(objects, report, pa.table({"id": ["a"]}))
    assert load_report(objects, "g", saved.id).thresholds == [made]
    plan = plan_swap(objects, "g", card)
    assert read_plan(plan.as_json().encode(), "plan").changes.thresholds == [made]
    assert f"0.6000 -> {made.new.mean:.4f}" in skipfill("plan", "g", "v2").out
    assert isinstance(made, Threshold)
    forged = replace(plan, changes=replace(plan.changes, thresholds=[])).identified()
    apply_plan(objects, forged)
    swapped = latest(objects, "g").release
    assert swapped is not None
    assert swapped.thresholds == [made]  # the report's, whatever the plan says
    rollback(objects, "g")
    assert latest(objects, "g").release is None
    path = objects.root / "galleries" / "g" / "versions" / "0000000002.json"
    content = json.loads(path.read_text())
    del content["release"]["thresholds"]
    path.write_text(json.dumps(content))
    assert read_version(objects, "g", 2).release == replace(swapped, thresholds=[])
