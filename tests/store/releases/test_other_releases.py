"""Checks that were measured while other models were released: against a model they count, for a swap they do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skipfill.store.checks.queries import Queries
from skipfill.store.checks.report import Report
from skipfill.store.errors import NotAcceptable
from skipfill.store.galleries.append import append_rows
from skipfill.store.galleries.log import latest
from skipfill.store.models.cards import load_card
from skipfill.store.releases.rollback import rollback
from skipfill.store.storage.object_store import ObjectStore
from tests.conftest import Skipfill, write_vectors
from tests.store.stores import saved_check, store_with, swap

OTHER = Queries.of(["a0", "b0"])
"""Other queries than those that a saved check asks if nothing is said."""


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return store_with(tmp_path, 100)


def check(objects: ObjectStore, day: int, verdict: str = "pass", queries: Queries | None = None) -> Report:
    """Save a check of v2 on the gallery as it is now."""
    asked = {} if queries is None else {"queries": queries}
    version = latest(objects, "g").number
    return saved_check(objects, created=f"2026-01-{day:02d}", version=version, verdict=verdict, **asked)


def release(objects: ObjectStore, model: str, reason: str = "") -> str:
    """Swap to a model; the check that allowed it."""
    done = swap(objects, "g", load_card(objects, model), reason).release
    assert done is not None
    return done.check


@pytest.mark.parametrize("verdict", ["fail", "inconclusive"])
def test_what_failed_while_it_was_released_is_not_forgotten_by_a_rollback(objects: ObjectStore, verdict: str) -> None:
    check(objects, 1)
    release(objects, "v2")
    failed = check(objects, 2, verdict, OTHER)
    rollback(objects, "g", "worse in production")
    with pytest.raises(NotAcceptable, match=f"found {failed.id} {verdict}"):
        release(objects, "v2")
    check(objects, 3)
    with pytest.raises(NotAcceptable, match=f"found {failed.id} {verdict}"):
        release(objects, "v2")
    passed = check(objects, 4, queries=OTHER)
    assert release(objects, "v2") == passed.id


def test_a_fail_is_not_forgotten_when_another_model_is_released(objects: ObjectStore) -> None:
    failed = check(objects, 1, "fail")
    release(objects, "v3", "test")
    check(objects, 2, queries=OTHER)
    with pytest.raises(NotAcceptable, match=f"found {failed.id} fail"):
        release(objects, "v2")
    passed = check(objects, 3)
    assert release(objects, "v2") == passed.id


def test_a_fail_that_was_answered_stays_answered_after_a_swap_and_a_rollback(objects: ObjectStore) -> None:
    check(objects, 1, "fail")
    passed = check(objects, 2)
    for reason in ("", "the alarm was false"):
        done = swap(objects, "g", load_card(objects, "v2"), reason=reason).release
        assert done is not None
        assert done.check == passed.id
        rollback(objects, "g")


def test_a_pass_answers_a_fail_whatever_was_released_but_allows_a_swap_only_from_its_own_state(
    objects: ObjectStore,
) -> None:
    check(objects, 1, "fail")
    release(objects, "v3", "test")
    answer = check(objects, 2)
    rollback(objects, "g")
    since = f"none that compares with old, which queries have used since version 3: check {answer.id} passed against v3"
    with pytest.raises(NotAcceptable, match=f"expected a passing check of v2, found {since}"):
        release(objects, "v2")
    passed = check(objects, 3, queries=OTHER)
    assert release(objects, "v2") == passed.id


def test_a_fail_on_other_rows_does_not_count(objects: ObjectStore, tmp_path: Path) -> None:
    check(objects, 1, "fail")
    vectors = np.random.default_rng(9).normal(size=(10, 4))
    append_rows(objects, "g", [write_vectors(tmp_path / "more.parquet", vectors, range(500, 510))])
    passed = check(objects, 2, queries=OTHER)
    assert release(objects, "v2") == passed.id


def test_history_has_the_checks_that_there_were_before_each_swap(objects: ObjectStore, skipfill: Skipfill) -> None:
    first = check(objects, 1, "fail")
    release(objects, "v3", "test")
    second = check(objects, 2, "fail", OTHER)
    release(objects, "v2", "we are in a hurry")
    third = check(objects, 3, "fail")
    rollback(objects, "g", "it is worse than the test")
    release(objects, "v2", "and again")
    checks = skipfill("history", "g", "--json").document["checks"]
    assert {number: [one["check"] for one in of_swap] for number, of_swap in checks.items()} == {
        "2": [],
        "3": [first.id, second.id],
        "5": [first.id, second.id, third.id],
    }


def test_a_release_that_was_forced_against_a_fail_says_so(objects: ObjectStore, skipfill: Skipfill) -> None:
    said = f"FORCED although check {check(objects, 1, 'fail').id} failed"
    force = ("swap", "g", "v2", "--without-check", "manager said so")
    assert f"(version 2, {said}. Reason: manager said so)" in skipfill(*force, "--dry-run").out
    assert f"(version 2, {said}. Reason: manager said so)" in skipfill(*force).out
    check(objects, 2)  # what passes later changes nothing about it
    shown = " ".join(skipfill("status", "g").out.split())
    assert f"check {said}" in shown
    assert "reason manager said so" in shown
    for command in (["status"], ["history", "g"], [], ["doctor"]):
        assert f"{said}. Reason: manager said so" in " ".join(skipfill(*command).out.split())
    rollback(objects, "g")
    check(objects, 3)
    release(objects, "v2")
    assert "although" not in skipfill("status", "g").out + skipfill("swap", "g", "v3", "--without-check", "new").out


def test_a_reason_may_be_given_for_a_fail_of_another_release(objects: ObjectStore) -> None:
    check(objects, 1)
    release(objects, "v2")
    failed = check(objects, 2, "fail", OTHER)
    rollback(objects, "g")
    mended = Queries.of(["d", "e"])
    passed = saved_check(
        objects, created="2026-01-03", queries=mended, instead_of=[failed.id], reason="they were mislabelled"
    )
    assert release(objects, "v2") == passed.id


def test_status_shows_what_failed_since_the_release(objects: ObjectStore, skipfill: Skipfill) -> None:
    check(objects, 1, "fail")
    release(objects, "v2", "test")
    assert "against it" not in skipfill("status", "g").out
    assert skipfill("status", "g", "--json").document["checks_against"] == []
    failed = [check(objects, day, "fail", Queries.of([f"{day}"])).id for day in range(2, 9)]
    assert f"against it since {failed[-1]} fail (and 6 more)" in " ".join(skipfill("status", "g").out.split())
    assert skipfill("status", "g", "--json").document["checks_against"] == [f"{one} fail" for one in failed]
    rollback(objects, "g")
    assert "against it" not in skipfill("status", "g").out


def test_status_says_that_the_rows_changed_since_the_check(
    objects: ObjectStore, skipfill: Skipfill, tmp_path: Path
) -> None:
    check(objects, 1)
    release(objects, "v2")
    assert "changed since" not in skipfill("status", "g").out
    vectors = np.random.default_rng(9).normal(size=(10, 4))
    append_rows(objects, "g", [write_vectors(tmp_path / "more.parquet", vectors, range(500, 510))])
    shown = " ".join(skipfill("status", "g").out.split())
    assert "(the rows changed since then: 100 then, 110 now)" in shown


def test_the_overview_offers_no_failed_candidate_where_an_upgrade_is_in_use(
    objects: ObjectStore, skipfill: Skipfill, tmp_path: Path
) -> None:
    check(objects, 1, "inconclusive")
    other = objects.root / "models/v3"
    other.rename(tmp_path / "v3")
    assert "Next: skipfill check g v2 --items HELDOUT.parquet --items MORE.parquet" in skipfill().out
    check(objects, 2, "fail")
    assert "Next: skipfill train NAME --gallery g" in skipfill().out
    (tmp_path / "v3").rename(other)
    release(objects, "v3", "test")
    other.rename(tmp_path / "v3")
    assert "Next: skipfill status g" in skipfill().out


def test_status_shows_a_release_whatever_is_wrong_with_a_check(objects: ObjectStore, skipfill: Skipfill) -> None:
    check(objects, 1)
    release(objects, "v2")
    (entry,) = (one.key for one in objects.entries("checks/g/by-state"))
    objects.replace(entry, b"{")
    shown = " ".join(skipfill("status", "g").out.split())
    assert "queries use v2" in shown
    assert "against it since not known, because the checks cannot be read" in shown
    assert skipfill("status", "g", "--json").document["checks_against"] is None
