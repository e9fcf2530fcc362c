"""A model that was rolled back: what lets it come back, and that a forced release comes back only with a reason."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from skipfill.store.checks.index import CheckIndex
from skipfill.store.checks.policy import Policy
from skipfill.store.checks.queries import Queries
from skipfill.store.checks.saved_reports import load_report
from skipfill.store.galleries.log import latest
from skipfill.store.galleries.register import add_gallery, drop_gallery
from skipfill.store.models.cards import load_card
from skipfill.store.models.files import save_model
from skipfill.store.parquet.stored_rows import Columns
from skipfill.store.releases.plan import read_plan
from skipfill.store.releases.rollback import rollback
from skipfill.store.releases.withdrawn import LeftByRollback, withdrawal
from skipfill.store.spaces import Space
from skipfill.store.storage.object_store import ObjectStore
from tests.conftest import Skipfill, tree
from tests.store.stores import saved_check, store_with, swap, trained_ids

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
    assert f"as in version 4. FORCED although check {failed.id} failed. Came back after the rollback in" in shown
    assert shown.endswith("version 5. Reason: the customer wants it")


def test_a_report_of_a_pass_says_whether_it_answers_a_rollback(
    skipfill: Skipfill, objects: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = json.loads(skipfill("history", "g", "--json").out)["versions"][1]["release"]["check"]
    same = saved_check(objects, created="2026-01-02", policy=asdict(Policy()))
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    said = f"v2 was rolled back in version 3 by {latest(objects, 'g').by}: {INCIDENT}"
    still = f"This pass does not answer it: check {same.id} has the same queries as check {first}"
    shown = skipfill("report", "g", same.id)
    assert f"{said}. {still}" in shown.out
    assert "skipfill swap g v2 --reason TEXT" in shown.out
    assert "Next: skipfill check g v2 --items HELDOUT.parquet --items INCIDENT.parquet" in shown.err
    annotated = skipfill("report", "g", same.id, "--github", "--html", "c.html").out
    assert f"::warning title=skipfill%3A v2 on g%3A PASS::{said}. {still}" in annotated
    assert f"{said}. {still}" in (tmp_path / "c.html").read_text()
    assert "This pass does not answer it" in summary.read_text()
    document = skipfill("report", "g", same.id, "--json").document
    assert document["swap_allowed"] is False
    assert [one["version"] for one in document["rolled_back"]] == [3]

    other = saved_check(objects, created="2026-01-03", queries=OTHER, policy=asdict(Policy()))
    shown = skipfill("report", "g", other.id)
    assert f"{said}. This pass answers it" in shown.out
    assert "Next: skipfill swap g v2" in shown.err
    assert skipfill("report", "g", other.id, "--json").document["swap_allowed"] is True
    failed = saved_check(
        objects, created="2026-01-04", verdict="fail", queries=Queries.of(["f"]), policy=asdict(Policy())
    )
    assert "It comes back with a pass that has new queries" in skipfill("report", "g", failed.id).out
    shown = skipfill("report", "g", other.id).out
    assert f"this pass allows no swap, because check {failed.id} (fail) still counts" in shown


def test_a_report_is_shown_whatever_is_wrong_with_another_check(skipfill: Skipfill, objects: ObjectStore) -> None:
    passed = saved_check(objects, created="2026-01-02", policy=asdict(Policy()))
    objects.replace(next(one.key for one in objects.entries("checks/g/by-state")), b"{")
    shown = skipfill("report", "g", passed.id)
    assert "what else speaks for or against a swap cannot be read" in shown.out
    assert "Next: skipfill doctor" in shown.err
    assert skipfill("report", "g", passed.id, "--json").document["swap_allowed"] is None


def test_a_refused_swap_names_the_fail_and_the_rollback(skipfill: Skipfill, objects: ObjectStore) -> None:
    failed = saved_check(objects, created="2026-01-02", verdict="fail", queries=OTHER)
    refused = skipfill("swap", "g", "v2", expect=1).err
    assert f"expected a passing check of v2, found {failed.id} fail; and v2 was rolled back in version 3" in refused
    assert "Three things cancel a fail" in refused
    assert "The same pass answers the rollback, if its queries are not those of the check" in refused
    refused = skipfill("swap", "g", "v2", "--reason", "it was the index", expect=1).err
    assert f"found {failed.id} fail" in refused
    assert "rolled back" not in refused  # the reason answers it, and nothing else
    planned = skipfill("plan", "g", "v2", expect=1)
    assert "a reason too: skipfill swap g v2 --reason TEXT" in planned.err
    assert planned.out.count("NO") == 2
    passed = saved_check(objects, created="2026-01-03", queries=OTHER)  # cancels the fail, and answers the rollback
    assert f"check {passed.id} answers it, with new queries" in " ".join(skipfill("plan", "g", "v2").out.split())
    skipfill("swap", "g", "v2")


def test_without_the_report_of_the_check_that_allowed_it_no_pass_answers(
    skipfill: Skipfill, objects: ObjectStore
) -> None:
    first = json.loads(skipfill("history", "g", "--json").out)["versions"][1]["release"]["check"]
    later = saved_check(objects, created="2026-01-02", queries=OTHER, policy=asdict(Policy()))
    report = f"checks/g/{first}/report.json"
    whole = objects.get(report)
    objects.replace(report, whole.replace(b"labels", b"judgements"))
    refused = skipfill("swap", "g", "v2", expect=1).err
    assert (
        f"the report of check {first}, which had allowed the release, cannot be read: {objects.root / report}"
        in refused
    )
    assert "Restore the report from a copy, or give a reason" in refused
    assert "cannot be read" in skipfill("report", "g", later.id).out
    assert "cannot be read" in skipfill("rollback", "g", "--to", 2, expect=1).err
    objects.delete(report)
    assert "cannot be read" in skipfill("swap", "g", "v2", expect=1).err
    objects.replace(report, whole)
    skipfill("swap", "g", "v2", "--dry-run")
    objects.delete(report)
    skipfill("swap", "g", "v2", "--reason", "it was the index")


def test_a_part_of_the_queries_that_had_allowed_a_model_does_not_answer_its_rollback(
    skipfill: Skipfill, objects: ObjectStore
) -> None:
    """Nor do the same queries under another identity; one more query does."""
    part = Queries.of(["a", "b"])
    for queries in (part, replace(part, basis="identity='customer'")):
        passed = saved_check(objects, created="2026-01-02", queries=queries)
        refused = " ".join(skipfill("swap", "g", "v2", expect=1).err.split())
        assert f"check {passed.id} has only queries of check" in refused
    saved_check(objects, created="2026-01-03", queries=Queries.of(["a", "b", "new"]))
    skipfill("swap", "g", "v2")


def test_the_same_digest_is_the_same_queries_whatever_else_is_known(skipfill: Skipfill, objects: ObjectStore) -> None:
    allowing = skipfill("history", "g", "--json").document["versions"][1]["release"]["check"]
    asked = load_report(objects, "g", allowing).queries
    known = LeftByRollback(3, "root", "", allowing, replace(asked, least=""))
    again = saved_check(objects, created="2026-01-02", queries=replace(asked, least=""))
    entry = next(
        one for one in CheckIndex(objects, "g").of(again.rows_state, again.fingerprint) if one.check == again.id
    )
    assert "has the same queries as" in known.open_after(entry)


def test_every_earlier_rollback_of_a_model_counts(skipfill: Skipfill, objects: ObjectStore) -> None:
    saved_check(objects, created="2026-01-02", queries=OTHER)
    skipfill("swap", "g", "v2")
    skipfill("rollback", "g")
    said = f"v2 was rolled back in version 5 by {latest(objects, 'g').by}, without a reason; before that, in version 3"
    assert f"  {said}" in skipfill().out
    saved_check(objects, created="2026-01-03")  # the queries of the first release
    refused = skipfill("swap", "g", "v2", expect=1).err
    assert said in refused
    assert INCIDENT in refused
    assert "has the same queries as check" in refused
    saved_check(objects, created="2026-01-04", queries=Queries.of(["f"]))
    skipfill("swap", "g", "v2")
    skipfill("rollback", "g", "--reason", "INC-44")
    assert (
        f"INC-44; before that, in version 3 by {latest(objects, 'g').by}: {INCIDENT} (1 more in the" in skipfill().out
    )
    assert len(skipfill("status", "g", "--json").document["rolled_back"][0]["rollbacks"]) == 3


def test_status_and_overview_name_the_model_that_a_rollback_left(
    skipfill: Skipfill, objects: ObjectStore, tmp_path: Path
) -> None:
    (tmp_path / "v3").rename(objects.root / "models/v3")  # newer than v2, so that the next step is about v3
    said = f"v2 was rolled back in version 3 by {latest(objects, 'g').by}: {INCIDENT}"
    skipfill("policy", "g", "--margin", 0.01)
    assert f"rolled back {said.replace(' was rolled back', ',')}" in " ".join(skipfill("status", "g").out.split())
    for command in ([], ["status"]):
        assert said in " ".join(skipfill(*command).out.split())
    rolled_back = skipfill("status", "g", "--json").document["rolled_back"]
    assert [(one["model"], one["rollbacks"][0]["reason"]) for one in rolled_back] == [("v2", INCIDENT)]
    swap(objects, "g", load_card(objects, "v3"), "test")
    rollback(objects, "g")
    assert "v2, in version 3" not in skipfill("status", "g").out  # an older one, from before the last swap
    assert "v3, in version 6" in skipfill("status", "g").out


def test_a_model_that_came_back_is_marked(skipfill: Skipfill, objects: ObjectStore) -> None:
    skipfill("swap", "g", "v2", "--reason", "it was the index")
    said = f"v2 was rolled back in version 3 by {latest(objects, 'g').by}: {INCIDENT}"
    after = said.replace("v2 was rolled back", "after the rollback")
    assert f"came back {after}" in " ".join(skipfill("status", "g").out.split())
    assert f"Came back, although {said}" in skipfill().out
    assert "Came back after the rollback in version 3. Reason: it was the index" in skipfill("history", "g").out
    assert [one["version"] for one in skipfill("status", "g", "--json").document["came_back_after"]] == [3]
    came_back = skipfill("history", "g", "--json").document["came_back_after"]
    assert {number: [one["version"] for one in found] for number, found in came_back.items()} == {"4": [3]}
    rollback(objects, "g", to=1)
    rollback(objects, "g", "undone", to=4)
    assert "Came back after the rollback in version 5" in skipfill("history", "g").out.splitlines()[-1]


def test_a_fail_between_a_release_and_its_return_is_shown(skipfill: Skipfill, objects: ObjectStore) -> None:
    failed = saved_check(objects, created="2026-01-02", verdict="fail", queries=OTHER)
    rollback(objects, "g", "false alarm", to=2)
    assert f"against it since {failed.id} fail" in " ".join(skipfill("status", "g").out.split())
    assert skipfill("swap", "g", "v2", "--json").document["checks_against"] == [f"{failed.id} fail"]


def test_a_second_rollback_says_which_releases_were_rolled_back(skipfill: Skipfill, objects: ObjectStore) -> None:
    refused = " ".join(skipfill("rollback", "g", expect=4).err.split())
    assert "Versions with other releases: 2 (v2, rolled back in version 3). Bring one back with: " in refused
    assert "skipfill rollback g --to VERSION --reason TEXT" in refused


def test_a_model_under_another_name_is_the_same_model(skipfill: Skipfill, objects: ObjectStore) -> None:
    save_model(objects, replace(load_card(objects, "v2"), name="candidate"), b"v2", trained_ids())
    refused = skipfill("swap", "g", "candidate", expect=1).err
    assert "v2, which is the same model as candidate, was rolled back in version 3" in refused
    skipfill("swap", "g", "v2", "--reason", "it was the index")
    said = skipfill("swap", "g", "candidate").out
    assert said == "Nothing to do: queries of g use v2 already, since version 4; candidate is the same model\n"


def test_a_force_that_was_not_needed_says_so(skipfill: Skipfill, objects: ObjectStore) -> None:
    passed = saved_check(objects, created="2026-01-02", queries=OTHER)
    assert f"none asked for, though {passed.id} allows it" in " ".join(
        skipfill("plan", "g", "v2", "--without-check", "a demo").out.split()
    )
    said = f"FORCED, which was not needed: check {passed.id} passed"
    assert f"{said}. Reason: a demo" in skipfill("swap", "g", "v2", "--without-check", "a demo").out
    for command in (["status", "g"], ["history", "g"], []):
        assert said in " ".join(skipfill(*command).out.split())
    assert "without a passing check" not in skipfill("history", "g").out


def test_a_damaged_check_does_not_stop_a_forced_swap(skipfill: Skipfill, objects: ObjectStore) -> None:
    (entry,) = (one.key for one in objects.entries("checks/g/by-state"))
    objects.replace(entry, b"{")
    assert "FORCED without a passing check" in skipfill("swap", "g", "v2", "--without-check", "urgent").out
    assert latest(objects, "g").release.model == "v2"


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


def test_a_rollback_names_the_pass_that_asked_less_than_the_policy_asks_now(
    skipfill: Skipfill, objects: ObjectStore
) -> None:
    undecided = saved_check(objects, verdict="inconclusive", created="2026-01-02", queries=OTHER)
    said = f"v2 comes back only with a reason: check {undecided.id} is inconclusive"
    assert f"{said}; v2 was rolled back" in skipfill("rollback", "g", "--to", 2, expect=1).err
    passed = saved_check(objects, created="2026-01-03", queries=OTHER, policy=asdict(Policy()))
    skipfill("rollback", "g", "--to", 2, "--dry-run")
    skipfill("policy", "g", "--flip-budget", 0.1)
    assert (
        f"{said} (check {passed.id}, which would answer it, asked less than the policy asks now: flip budget any "
        "(the policy: fewer than 10.00%))" in " ".join(skipfill("rollback", "g", "--to", 2, expect=1).err.split())
    )


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
    assert "No problem found; read the 1 note above. This was a quick look" in skipfill("doctor").out


def test_a_dropped_gallery_has_no_model_in_use(skipfill: Skipfill, objects: ObjectStore) -> None:
    drop_gallery(objects, "g", "moved")
    line = skipfill("history", "g").out.splitlines()[-1]
    assert "dropped" in line
    assert "old" not in line
    assert json.loads(skipfill("history", "g", "--json").out)["versions"][-1]["reason"] == "moved"
