"""A model that was rolled back: what lets it come back, and that a forced release comes back only with a reason."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from skipfill.store.checks.policy import Policy
from skipfill.store.checks.queries import Queries
from skipfill.store.galleries.log import latest
from skipfill.store.galleries.register import add_gallery, drop_gallery
from skipfill.store.models.cards import load_card
from skipfill.store.parquet.stored_rows import Columns
from skipfill.store.releases.plan import read_plan
from skipfill.store.releases.rollback import rollback
from skipfill.store.releases.withdrawn import withdrawal
from skipfill.store.spaces import Space
from skipfill.store.storage.object_store import ObjectStore
from tests.conftest import Skipfill, tree
from tests.store.stores import saved_check, store_with, swap

OTHER = Queries.of(["d", "e"])
INCIDENT = "INC-43 v2 answers wrong in production"


@pytest.fixture
def objects(skipfill: Skipfill, tmp_path: Path) -> ObjectStore:
    """Gallery g: v2 passed its check (1), was swapped to (2), and rolled back (3)."""
    made = store_with(tmp_path, 100)
    (made.root / "models/v3").rename(tmp_path / "v3")
    saved_check(made)
    swap(made, "g", load_card(made, "v2"))
    rollback(made, "g", INCIDENT)
    return made


def test_a_model_that_was_rolled_back_is_not_swapped_to_by_its_old_check(
    skipfill: Skipfill, objects: ObjectStore, tmp_path: Path
) -> None:
    before, by = tree(tmp_path), latest(objects, "g").by
    said = f"v2 was rolled back in version 3 by {by}: {INCIDENT}"
    for command in (["swap", "g", "v2", "--dry-run"], ["swap", "g", "v2"], ["swap", "g", "v2", "--json"]):
        refused = skipfill(*command, expect=1).err
        assert said in refused
        assert "skipfill swap g v2 --reason TEXT" in refused
    planned = skipfill("plan", "g", "v2", expect=1)
    assert said in " ".join(planned.out.split())
    assert "skipfill swap g v2 --reason TEXT" in planned.err
    shown = skipfill().out
    assert f"  {said}\n" in shown
    assert "skipfill swap" not in shown
    assert "Next: skipfill history g" in skipfill("policy", "g", "--margin", 0.03).err
    assert {name for name in tree(tmp_path) if name not in before} == {
        ".skipfill/galleries/g/versions/0000000004.json"  # the policy
    }


def test_a_pass_on_other_queries_after_the_rollback_answers_it(skipfill: Skipfill, objects: ObjectStore) -> None:
    saved_check(objects, created="2026-01-02")  # on the queries that did not show the fault
    assert INCIDENT in skipfill("swap", "g", "v2", expect=1).err
    later = saved_check(objects, created="2026-01-03", queries=OTHER)
    assert later.version == 3
    assert "Next: skipfill swap g v2" in skipfill().out
    document = skipfill("plan", "g", "v2", "--json").document["plan"]
    assert document["requires"][-1]["name"] == "rollback"
    assert document["requires"][-1]["holds"]
    assert document["format"] == 4
    assert skipfill("swap", "g", "v2", "--json").document["version"]["release"]["check"] == later.id


def test_a_reason_answers_a_rollback_and_is_shown(skipfill: Skipfill, objects: ObjectStore) -> None:
    why = "the index was broken, not the model"
    said = skipfill("swap", "g", "v2", "--reason", why).out
    assert f"Reason: {why}). Note: v2 was rolled back in version 3" in said
    assert latest(objects, "g").reason == why
    assert f"Reason: {why}" in skipfill("history", "g").out
    assert f"reason  {why}" in " ".join(skipfill("status", "g").out.split()).replace("reason ", "reason  ")
    assert skipfill("status", "g", "--json").document["reason"] == why
    skipfill("policy", "g", "--margin", 0.01)  # a later version has another reason
    assert skipfill("status", "g", "--json").document["reason"] == why


def test_a_saved_plan_is_no_way_around_a_rollback(skipfill: Skipfill, objects: ObjectStore, tmp_path: Path) -> None:
    skipfill("plan", "g", "v2", "-o", "plan.json", expect=1)
    assert "was rolled back in version 3" in skipfill("swap", "g", "--plan", "plan.json", expect=1).err
    plan = read_plan((tmp_path / "plan.json").read_bytes(), "plan.json")
    older = replace(plan, requires=plan.requires[:-1]).identified()  # as an older release made it
    assert older.format == 1
    (tmp_path / "older.json").write_text(older.as_json())
    assert "was rolled back in version 3" in skipfill("swap", "g", "--plan", "older.json", expect=1).err
    skipfill("swap", "g", "--plan", "plan.json", "--reason", "it was the index")
    assert latest(objects, "g").plan == plan.id


def test_a_gallery_of_the_same_name_remembers_the_rollback(skipfill: Skipfill, objects: ObjectStore) -> None:
    drop_gallery(objects, "g")
    add_gallery(objects, "g", sorted(objects.root.parent.glob("part-*.parquet")), Columns(), Space("old", 0), None)
    assert "was rolled back in version 3" in skipfill("swap", "g", "v2", expect=1).err


def test_only_the_last_way_of_leaving_counts(objects: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "v3").rename(objects.root / "models/v3")
    v2, v3 = load_card(objects, "v2"), load_card(objects, "v3")

    def withdrawn(fingerprint: str) -> int:
        found = withdrawal(objects, "g", latest(objects, "g"), fingerprint)
        return found.version if found else 0

    assert (withdrawn(v2.fingerprint), withdrawn(v3.fingerprint)) == (3, 0)
    rollback(objects, "g", "undone", to=2)
    assert withdrawn(v2.fingerprint) == 0  # in force
    swap(objects, "g", v3, "test")
    assert withdrawn(v2.fingerprint) == 0  # left by a swap
    rollback(objects, "g")
    rollback(objects, "g", "undone", to=5)  # from v2 to the later v3: nothing against v2
    assert (withdrawn(v2.fingerprint), withdrawn(v3.fingerprint)) == (0, 0)
    rollback(objects, "g", to=1)
    assert (withdrawn(v2.fingerprint), withdrawn(v3.fingerprint)) == (0, 8)


def test_a_rollback_is_no_way_around_the_gate(skipfill: Skipfill, objects: ObjectStore, tmp_path: Path) -> None:
    failed = saved_check(objects, verdict="fail", created="2026-01-02")
    skipfill("swap", "g", "v2", "--without-check", "a demo")
    done = skipfill("rollback", "g", "--reason", "INC-44")
    assert "Undo" not in done.err
    before = tree(tmp_path)
    refused = skipfill("rollback", "g", "--to", 4, expect=1).err
    for said in (f"check {failed.id} failed", "no check allowed it (a demo)", "rolled back in version 5", ": INC-44"):
        assert said in refused
    assert tree(tmp_path) == before
    skipfill("rollback", "g", "--to", 4, "--reason", "the customer wants it")
    shown = skipfill("history", "g").out.splitlines()[-1]
    assert f"as in version 4. FORCED although check {failed.id} failed. Reason: the customer wants it" in shown


def test_the_undo_of_a_good_release_says_that_it_takes_a_reason(skipfill: Skipfill, objects: ObjectStore) -> None:
    saved_check(objects, created="2026-01-02", queries=OTHER)
    skipfill("swap", "g", "v2")
    assert "Undo: skipfill rollback g --to 4 --reason TEXT" in skipfill("rollback", "g").err
    assert "was rolled back in version 5" in skipfill("rollback", "g", "--to", 4, expect=1).err
    skipfill("rollback", "g", "--to", 4, "--reason", "false alarm")
    skipfill("rollback", "g", "--to", 1)  # to the old encoder: no reason is needed


def test_a_plain_rollback_to_a_failed_release_needs_a_reason(
    skipfill: Skipfill, objects: ObjectStore, tmp_path: Path
) -> None:
    (tmp_path / "v3").rename(objects.root / "models/v3")
    swap(objects, "g", load_card(objects, "v2"), reason="false alarm")
    swap(objects, "g", load_card(objects, "v3"), "test")
    skipfill("rollback", "g", "--dry-run")  # v2 passed, and was left by a swap
    failed = saved_check(objects, "v2", verdict="fail", created="2026-01-03")
    assert f"v2 comes back only with a reason: check {failed.id} failed" in skipfill("rollback", "g", expect=1).err


def test_the_next_step_is_a_check_where_the_policy_asks_more_now(skipfill: Skipfill, tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    (objects.root / "models/v3").rename(tmp_path / "v3")
    check = saved_check(objects, policy=asdict(Policy()))
    assert "Next: skipfill swap g v2" in skipfill("report", "g").err
    changed = skipfill("policy", "g", "--flip-budget", 0.1)
    assert "Next: skipfill check g v2 --items HELDOUT.parquet" in changed.err
    shown = skipfill().out
    assert f"check {check.id} asked less: flip budget any (the policy: fewer than 10.00%)" in shown
    assert "Next: skipfill check g v2 --items HELDOUT.parquet" in shown
    reported = skipfill("report", "g")
    assert "Next: skipfill check g v2 --items HELDOUT.parquet" in reported.err
    annotated = skipfill("report", "g", "--github").out
    assert "skipfill swap" not in annotated
    assert "skipfill check g v2" in annotated


def test_a_forced_release_is_named_wherever_its_use_is(skipfill: Skipfill, objects: ObjectStore) -> None:
    failed = saved_check(objects, verdict="fail", created="2026-01-02")
    skipfill("swap", "g", "v2", "--without-check", "a demo")
    assert skipfill("status", "g", "--json").document["forced_against"] == [f"{failed.id} fail"]
    (note,) = [one for one in skipfill("doctor", "--json").document["findings"] if "FORCED" in one["what"]]
    assert note["kind"] == "note"
    assert f"queries use v2: FORCED although check {failed.id} failed. Reason: a demo" in note["what"]


def test_a_dropped_gallery_has_no_model_in_use(skipfill: Skipfill, objects: ObjectStore) -> None:
    drop_gallery(objects, "g", "moved")
    line = skipfill("history", "g").out.splitlines()[-1]
    assert "dropped" in line
    assert "old" not in line
    assert json.loads(skipfill("history", "g", "--json").out)["versions"][-1]["reason"] == "moved"
