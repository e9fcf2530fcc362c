"""Reports in the store: the newest one of a model on a state, each read once by a swap, damaged ones refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from skipfill.store.checks.report import Flips, Report
from skipfill.store.checks.saved_reports import Checks, check_ids, load_report, save_report
from skipfill.store.errors import BadInput, NotAcceptable, Stale
from skipfill.store.galleries.log import latest
from skipfill.store.models.cards import load_card
from skipfill.store.releases.swap import apply_plan, plan_swap, swap
from skipfill.store.storage.address import Address
from skipfill.store.storage.layout import CHECKS, per_query_key, report_key
from skipfill.store.storage.object_store import ObjectStore
from tests.store.stores import store_with


class Counted(ObjectStore):
    """A store that counts how often each key is read."""

    def __init__(self, root: Address) -> None:
        super().__init__(root)
        self.reads: Counter[str] = Counter()

    def get(self, key: str) -> bytes:
        self.reads[key] += 1
        return super().get(key)


@pytest.fixture
def objects(tmp_path: Path) -> Counted:
    return Counted(store_with(tmp_path, 100).root)


def check(objects: ObjectStore, model: str = "v2", created: str = "2026-01-01", **changed: Any) -> Report:
    """Save a passing check of a model on gallery `g` as it is now."""
    report = Report(
        gallery="g",
        version=1,
        state=latest(objects, "g").state,
        model=model,
        fingerprint=load_card(objects, model).fingerprint,
        verdict="pass",
        why=[],
        slices=[],
        policy={},
        truth="labels",
        gallery_rows=100,
        reencoded_rows=0,
        ceiling="",
        baseline="",
        flips=Flips([], []),
        scores=[],
        warnings=[],
        created=created,
        seconds=0.0,
    )
    return save_report(objects, replace(report, **changed), pa.table({"id": ["a"]}))


def test_a_swap_reads_each_report_once(objects: Counted) -> None:
    passed = check(objects, created="2026-01-05")
    check(objects, created="2026-01-04", verdict="fail")
    check(objects, created="2026-01-06", state="another state", verdict="fail")
    for day in range(10, 20):
        check(objects, "v3", f"2026-01-{day}")
    objects.reads.clear()
    release = swap(objects, "g", load_card(objects, "v2")).release
    assert release is not None
    assert release.check == passed.id
    reports = {key: count for key, count in objects.reads.items() if key.startswith(f"{CHECKS}/")}
    assert reports == {report_key("g", check): 1 for check in check_ids(objects, "g")}
    assert len(reports) == 13


def test_the_newest_check_of_the_model_and_state(objects: Counted) -> None:
    card, state = load_card(objects, "v2"), latest(objects, "g").state
    assert Checks(objects, "g").newest(card.fingerprint, state) is None
    first = check(objects, created="2026-01-02")
    check(objects, "v3", "2026-01-09")
    check(objects, created="2026-01-08", state="another state")
    checks = Checks(objects, "g")
    assert checks.newest(card.fingerprint, state) == first
    later = check(objects, created="2026-01-03", verdict="fail")
    assert checks.newest(card.fingerprint, state) == later  # saved after the others were read
    assert checks.newest(card.fingerprint, "no such state") is None


def test_a_check_saved_between_plan_and_swap_is_seen_through_the_same_checks(objects: Counted) -> None:
    check(objects)
    checks = Checks(objects, "g")
    plan = plan_swap(objects, "g", load_card(objects, "v2"), checks=checks)
    assert plan.applicable
    check(objects, created="2026-02-01", verdict="inconclusive")
    with pytest.raises(Stale, match="inconclusive, which is newer"):
        apply_plan(objects, plan, checks)
    with pytest.raises(NotAcceptable, match=r"found .* inconclusive"):
        swap(objects, "g", load_card(objects, "v2"))
    assert latest(objects, "g").number == 1


def test_only_what_has_a_report_is_a_check(objects: Counted) -> None:
    assert check_ids(objects, "g") == []
    whole = check(objects)
    objects.put_new(per_query_key("g", "unfinished"), b"")
    objects.put_new("checks/g/notes.txt", b"")
    objects.put_new("checks/g/a b/report.json", b"")
    objects.put_new("checks/g/deep/deeper/report.json", b"")
    objects.put_new(report_key("g2", "other"), b"")
    assert check_ids(objects, "g") == [whole.id]
    with pytest.raises(BadInput, match=f"nearest: {whole.id}"):
        load_report(objects, "g", f"{whole.id[:-1]}z")


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b'{"format": 99}'])
def test_a_damaged_report_stops_a_swap(objects: Counted, damage: bytes) -> None:
    saved = check(objects)
    objects.replace(report_key("g", saved.id), damage)
    with pytest.raises(BadInput, match=r"report\.json: expected"):
        swap(objects, "g", load_card(objects, "v2"))


def test_an_edited_report_is_refused(objects: Counted) -> None:
    saved = check(objects, verdict="fail")
    key = report_key("g", saved.id)
    objects.replace(key, objects.get(key).replace(b'"fail"', b'"pass"'))
    with pytest.raises(BadInput, match="one that was edited"):
        load_report(objects, "g", saved.id)
