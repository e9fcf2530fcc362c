"""The policy of a gallery decides what its checks allow: laxer passes nothing, fails until they are answered."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skipfill.store.checks.policy import Policy
from skipfill.store.checks.queries import Queries, QuerySets
from skipfill.store.errors import BadInput, NotAcceptable, Stale
from skipfill.store.galleries.append import append_rows
from skipfill.store.galleries.log import history, latest
from skipfill.store.galleries.policies import change_policy
from skipfill.store.galleries.register import add_gallery, drop_gallery
from skipfill.store.models.cards import load_card
from skipfill.store.parquet.stored_rows import Columns
from skipfill.store.releases.rollback import rollback
from skipfill.store.releases.swap import apply_plan, plan_swap
from skipfill.store.spaces import Space
from skipfill.store.storage.layout import report_key
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.strict_json import json_digest
from tests.conftest import Skipfill, spawn, write_vectors
from tests.store.stores import saved_check, store_with, swap

OTHER, MORE = Queries.of(["x", "y", "z"]), Queries.of(["a", "b", "c", "d"])
LAXER: dict[str, dict[str, Any]] = {
    "margin": {"margin": 0.99},
    "confidence": {"confidence": 0.5},
    "better": {"better": False},
    "accept worse": {"accept_worse": ["unseen"]},
    "least queries": {"least_queries": 2},
    "most left out": {"most_left_out": 0.9},
    "metric": {"metric": "CMC@5"},
}
"""Words of the refusal -> what a check's policy asks less, or something else, than the defaults."""


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return store_with(tmp_path, 100)


def refusal(objects: ObjectStore) -> str:
    """The reason for which a swap to v2 is refused."""
    with pytest.raises(NotAcceptable) as caught:
        swap(objects, "g", load_card(objects, "v2"))
    return str(caught.value)


def swapped(objects: ObjectStore) -> str:
    """Swap to v2; the check that allowed it."""
    release = swap(objects, "g", load_card(objects, "v2")).release
    assert release is not None
    return release.check


@pytest.mark.parametrize("words", LAXER)
def test_a_pass_that_asked_less_allows_nothing_and_cancels_no_fail(objects: ObjectStore, words: str) -> None:
    failed = saved_check(objects, verdict="fail")
    lax = saved_check(objects, created="2026-01-02", policy=LAXER[words])
    assert f"found {failed.id} fail" in refusal(objects)
    only_lax = saved_check(objects, "v3", policy=LAXER[words])
    with pytest.raises(NotAcceptable, match=f"found {only_lax.id} pass, which asked less: {words} "):
        swap(objects, "g", load_card(objects, "v3"))
    assert lax.id not in (failed.id, only_lax.id)


def test_a_pass_that_asked_more_is_enough(objects: ObjectStore) -> None:
    saved = saved_check(objects, policy={"margin": 0.01, "confidence": 0.99, "least_queries": 100, "flip_budget": 0.05})
    assert swapped(objects) == saved.id


def test_a_budget_of_flips_is_required_where_the_policy_has_one(objects: ObjectStore) -> None:
    change_policy(objects, "g", Policy(flip_budget=0.05))
    saved_check(objects)
    assert "flip budget any (the policy: fewer than 5.00%)" in refusal(objects)
    saved_check(objects, created="2026-01-02", policy={"flip_budget": 0.1})
    assert "flip budget fewer than 10.00% (the policy: fewer than 5.00%)" in refusal(objects)
    saved = saved_check(objects, created="2026-01-03", policy={"flip_budget": 0.05})
    assert swapped(objects) == saved.id


def test_a_reindex_is_no_truth_unless_the_policy_names_it(objects: ObjectStore) -> None:
    saved = saved_check(objects, truth="reindex")
    assert "truth reindex (the policy: labels or judgements)" in refusal(objects)
    change_policy(objects, "g", Policy(truth="reindex"))
    assert swapped(objects) == saved.id
    rollback(objects, "g")
    change_policy(objects, "g", Policy(truth="judgements"))
    assert "truth reindex (the policy: judgements)" in refusal(objects)


def test_slices_that_the_policy_demands_must_be_judged(objects: ObjectStore) -> None:
    change_policy(objects, "g", Policy(slices=("lang = 'en'",)))
    saved_check(objects)
    assert "slices without lang = 'en'" in refusal(objects)


@pytest.mark.parametrize("policy", [{}, *LAXER.values()])
def test_a_fail_counts_whatever_it_asked(objects: ObjectStore, policy: dict[str, Any]) -> None:
    saved_check(objects)
    failed = saved_check(objects, created="2026-01-02", verdict="fail", policy=policy)
    assert f"found {failed.id} fail" in refusal(objects)


def test_redrawn_queries_are_no_answer_to_a_fail(objects: ObjectStore) -> None:
    failed = saved_check(objects, verdict="fail")
    for day in range(2, 6):
        saved_check(objects, created=f"2026-01-0{day}", queries=Queries.of([f"{day}", "x"]))
        assert f"found {failed.id} fail" in refusal(objects)
    saved_check(objects, created="2026-01-07", queries=MORE)
    assert f"found {failed.id} fail" in refusal(objects)
    passed = saved_check(objects, created="2026-01-08")
    assert swapped(objects) == passed.id


def test_a_refusal_names_a_fail_first_and_then_the_others(objects: ObjectStore, skipfill: Skipfill) -> None:
    failed = saved_check(objects, verdict="fail")
    undecided = saved_check(objects, created="2026-01-02", verdict="inconclusive", queries=OTHER)
    refused = skipfill("swap", "g", "v2", expect=1).err
    assert f"found {failed.id} fail, {undecided.id} inconclusive. Three things cancel a fail" in refused
    assert f"--instead-of {failed.id}" in refused
    later = [saved_check(objects, created=f"2026-01-0{day}", verdict="inconclusive") for day in (3, 4)]
    named = f"{failed.id} fail, {later[1].id} inconclusive, {later[0].id} inconclusive (and 1 more that do not pass)"
    assert f"found {named}" in refusal(objects)
    passed = saved_check(objects, created="2026-01-05", queries=OTHER, policy=asdict(Policy()))
    assert f"check {failed.id} (fail) still counts, and 2 more" in " ".join(
        skipfill("report", "g", passed.id).out.split()
    )


def test_redrawn_queries_are_no_answer_to_a_check_that_decided_nothing(objects: ObjectStore) -> None:
    undecided = saved_check(objects, verdict="inconclusive")
    saved_check(objects, created="2026-01-02", queries=OTHER)
    assert f"found {undecided.id} inconclusive" in refusal(objects)
    more = saved_check(objects, created="2026-01-03", queries=MORE)
    assert swapped(objects) == more.id


def test_a_set_of_queries_holds_its_parts_and_hardly_another() -> None:
    everything = [json_digest(number)[:16] for number in range(1_000)]
    whole, part = Queries.of(everything), Queries.of(everything[::3])
    redrawn = Queries.of([json_digest(number)[:16] for number in range(500, 1_500)])
    assert QuerySets([whole]).holds(part)
    assert QuerySets([whole]).holds(Queries.of(everything[-40:]))
    assert not QuerySets([part]).holds(whole)
    assert not QuerySets([whole]).holds(redrawn)
    assert not QuerySets([redrawn]).holds(whole)
    assert QuerySets([part, redrawn, whole]).holds(whole, 2)
    assert not QuerySets([whole, part, redrawn]).holds(whole, 1)
    assert not QuerySets([whole]).holds(Queries())
    assert not QuerySets([Queries()]).holds(Queries())


def test_a_reason_for_other_queries_is_recorded(objects: ObjectStore, skipfill: Skipfill) -> None:
    failed = saved_check(objects, verdict="fail")
    answer = {"queries": OTHER, "instead_of": [failed.id], "reason": "the first ones were mislabelled"}
    saved_check(objects, created="2026-01-02", policy={"margin": 0.5}, **answer)
    assert f"found {failed.id} fail" in refusal(objects)
    passed = saved_check(objects, created="2026-01-03", **answer)
    assert swapped(objects) == passed.id
    assert f"instead of {failed.id}: the first ones were mislabelled" in skipfill("history", "g").out


def test_queries_that_the_policy_names(objects: ObjectStore) -> None:
    failed = saved_check(objects, verdict="fail")
    passed = saved_check(objects, created="2026-01-02", queries=OTHER)
    assert f"found {failed.id} fail" in refusal(objects)
    change_policy(objects, "g", Policy(queries=(OTHER.digest,)))
    assert swapped(objects) == passed.id


def test_a_slow_clock_lets_no_pass_outlive_a_fail(objects: ObjectStore) -> None:
    saved_check(objects, created="2026-01-01T12:00:00")
    failed = saved_check(objects, created="2026-01-01T11:00:00", verdict="fail")
    assert f"found {failed.id} fail" in refusal(objects)


def test_a_damaged_report_of_another_model_is_in_nobodys_way(objects: ObjectStore) -> None:
    broken = saved_check(objects, "v3")
    key = report_key("g", broken.id)
    objects.replace(key, objects.get(key)[:200])
    passed = saved_check(objects)
    assert swapped(objects) == passed.id


def test_the_policy_is_carried_on_and_no_part_of_the_state(objects: ObjectStore, tmp_path: Path) -> None:
    state = latest(objects, "g").state
    changed = change_policy(objects, "g", Policy(metric="mAP"), "we rank")
    assert (changed.action, changed.reason, changed.format) == ("policy changed", "we rank", 2)
    assert changed.state == state
    swap(objects, "g", load_card(objects, "v2"), "test")
    rollback(objects, "g")
    more = write_vectors(tmp_path / "more.parquet", np.random.default_rng(9).normal(size=(10, 4)), range(500, 510))
    append_rows(objects, "g", [more])
    drop_gallery(objects, "g")
    add_gallery(objects, "g", sorted(tmp_path.glob("part-*.parquet")), Columns(), Space("old", 0), None)
    assert [one.policy for one in history(objects, "g")] == [None, *[Policy(metric="mAP")] * 6]


def test_a_change_of_the_policy_makes_a_saved_plan_stale(objects: ObjectStore) -> None:
    saved_check(objects)
    plan = plan_swap(objects, "g", load_card(objects, "v2"))
    change_policy(objects, "g", Policy(margin=0.001))
    with pytest.raises(Stale, match=r"version 2 by .* changed its policy"):
        apply_plan(objects, plan)


def test_versions_without_a_policy_are_as_older_releases_read_them(objects: ObjectStore) -> None:
    swap(objects, "g", load_card(objects, "v2"), "test")
    change_policy(objects, "g", Policy())
    versions = [json.loads(objects.get(f"galleries/g/versions/{number:010d}.json")) for number in (1, 2, 3)]
    assert [version["format"] for version in versions] == [1, 1, 2]
    assert ["policy" in version for version in versions] == [False, False, True]
    copied = json.loads(objects.get("galleries/g/release.json"))
    assert (copied["format"], copied["version"]["format"], "policy" in copied["version"]) == (1, 1, False)


def test_the_command(objects: ObjectStore, skipfill: Skipfill) -> None:
    assert "the defaults, because none was set" in skipfill("policy", "g").out
    before = list(Path().rglob("*"))
    skipfill("policy", "g", "--margin", 0.01, "--dry-run")
    assert list(Path().rglob("*")) == before
    skipfill("policy", "g", "--margin", 0.01, "--slice", "lang = 'en'", "--accept-worse", "lang = 'en'")
    skipfill("policy", "g", "--metric", "nDCG@10", "--reason", "graded")
    document = skipfill("policy", "g", "--json").document
    wanted = replace(Policy(), metric="nDCG@10", margin=0.01, slices=("lang = 'en'",), accept_worse=("lang = 'en'",))
    assert document["policy"] == json.loads(json.dumps(asdict(wanted)))
    for command in (["status", "g"], ["plan", "g", "v2"], ["gallery", "show", "g"], ["history", "g"]):
        assert "nDCG@10, better, margin 0.01" in skipfill(*command, expect=None).out, command
    assert "graded" in skipfill("history", "g").out
    assert "Nothing to do" in skipfill("policy", "g", "--metric", "nDCG@10").out
    skipfill("policy", "g", "--defaults")
    assert latest(objects, "g").policy == Policy()


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--metric", "NDCG", "--metric: expected a known metric"),
        ("--truth", "hope", "--truth: expected a known truth"),
        ("--accept-worse", "nobody", "--accept-worse: expected a known slice"),
        ("--accept-worse", "all", "--accept-worse: expected a known slice"),
    ],
)
def test_policies_that_mean_nothing_are_refused(
    objects: ObjectStore, skipfill: Skipfill, option: str, value: str, words: str
) -> None:
    assert words in skipfill("policy", "g", option, value, expect=2).err
    assert latest(objects, "g").number == 1


def test_a_refused_swap_names_the_policy_that_would_fit(objects: ObjectStore, skipfill: Skipfill) -> None:
    saved_check(objects, policy={"margin": 0.99, "confidence": 0.5, "better": False})
    refused = skipfill("swap", "g", "v2", expect=1).err
    command = "skipfill policy g --margin 0.99 --confidence 0.5 --not-worse"
    assert command in refused
    skipfill(*command.split()[1:])
    skipfill("swap", "g", "v2")


def test_a_forced_swap_is_shown_with_the_checks_that_there_were(objects: ObjectStore, skipfill: Skipfill) -> None:
    failed = saved_check(objects, verdict="fail")
    lax = saved_check(objects, created="2026-01-02", policy={"margin": 0.99, "confidence": 0.5, "better": False})
    skipfill("swap", "g", "v2", "--without-check", "we are in a hurry")
    shown = skipfill("history", "g").out
    forced = f"FORCED although check {failed.id} failed. Other checks: {lax.id} pass, which asked less: margin 0.99"
    assert forced in shown
    assert "Reason: we are in a hurry" in shown
    assert shown.count(failed.id) == shown.count(lax.id) == 1
    checks = skipfill("history", "g", "--json").document["checks"]["2"]
    assert [one["verdict"] for one in checks] == ["fail", "pass"]


def test_of_many_checks_before_a_forced_swap_the_newest_are_shown(objects: ObjectStore, skipfill: Skipfill) -> None:
    saved = [saved_check(objects, created=f"2026-01-0{day}", verdict="fail") for day in range(1, 9)]
    skipfill("swap", "g", "v2", "--without-check", "we are in a hurry")
    shown = skipfill("history", "g").out
    assert (
        f"FORCED although check {saved[5].id} failed, {saved[6].id} failed, {saved[7].id} failed and 5 earlier" in shown
    )
    assert saved[4].id not in shown
    assert len(skipfill("history", "g", "--json").document["checks"]["2"]) == 8


def test_of_racing_changes_of_the_policy_each_is_a_version_or_refused(objects: ObjectStore, tmp_path: Path) -> None:
    racers = [spawn("policy", "g", "--margin", f"0.0{number}", cwd=tmp_path) for number in range(1, 5)]
    codes = [(racer.communicate(timeout=120), racer.returncode)[1] for racer in racers]
    assert set(codes) <= {0, 4}
    assert latest(objects, "g").number == 1 + codes.count(0)


def test_an_entry_that_is_damaged_blocks_its_own_model_only(objects: ObjectStore) -> None:
    saved_check(objects)
    saved_check(objects, "v3")
    (key,) = [
        one.key for one in objects.entries("checks/g/by-state") if load_card(objects, "v2").fingerprint[:32] in one.key
    ]
    objects.replace(key, objects.get(key)[:50])
    with pytest.raises(BadInput, match=r"0000000001\.json"):
        swap(objects, "g", load_card(objects, "v2"))
    swap(objects, "g", load_card(objects, "v3"))


def entry_keys(objects: ObjectStore) -> list[str]:
    """Keys of the index entries of v2, in their order."""
    mine = load_card(objects, "v2").fingerprint[:32]
    return sorted(one.key for one in objects.entries("checks/g/by-state") if mine in one.key)


def test_a_lost_entry_is_no_pass(objects: ObjectStore) -> None:
    """A copy of the store that was cut off may lack the entry of a fail."""
    saved_check(objects)
    saved_check(objects, verdict="fail", created="2026-01-02")
    saved_check(objects, verdict="inconclusive", created="2026-01-03", queries=OTHER)
    objects.delete(entry_keys(objects)[1])
    with pytest.raises(BadInput, match="one missing"):
        swap(objects, "g", load_card(objects, "v2"))


@pytest.mark.parametrize("lost", ["all", "the first"])
def test_a_tenth_entry_has_those_before_it(objects: ObjectStore, lost: str) -> None:
    """The fail among them is not forgotten because they are not there."""
    saved_check(objects, verdict="fail")
    for day in range(1, 10):
        saved_check(objects, created=f"2026-01-0{day}", queries=OTHER)
    key = entry_keys(objects)[9]
    content = json.loads(objects.get(key))
    if lost == "all":
        del content["before"]
    else:
        content["before"] = {
            name: column if name == "terms" else column[1:] for name, column in content["before"].items()
        }
    objects.replace(key, json.dumps(content).encode())
    with pytest.raises(BadInput, match="one missing"):
        swap(objects, "g", load_card(objects, "v2"))


def test_an_entry_that_says_more_than_its_report_allows_nothing(objects: ObjectStore) -> None:
    saved_check(objects, policy={"margin": 0.2})
    (key,) = entry_keys(objects)
    assert "margin" in refusal(objects)
    objects.replace(key, objects.get(key).replace(b'"margin": 0.2,', b'"margin": 0.02,'))
    with pytest.raises((NotAcceptable, Stale)):
        swap(objects, "g", load_card(objects, "v2"))


def test_a_policy_does_not_undo_a_change_that_came_between(objects: ObjectStore) -> None:
    base = latest(objects, "g")
    change_policy(objects, "g", Policy(margin=0.01))
    with pytest.raises(Stale, match="changed meanwhile: version"):
        change_policy(objects, "g", Policy(flip_budget=0.1), after=base)
    assert latest(objects, "g").policy == Policy(margin=0.01)


def test_another_baseline_or_unit_is_no_answer(objects: ObjectStore) -> None:
    asked = ["a", "b", "c"]
    saved_check(objects, verdict="fail", queries=Queries.of(asked))
    saved_check(objects, created="2026-01-02", queries=Queries.of(asked, "old_input='short'"))
    assert "fail" in refusal(objects)
    saved_check(objects, created="2026-01-03", queries=Queries.of(asked))
    assert swapped(objects)


def test_what_another_truth_did_not_decide_is_not_held_against_a_model(objects: ObjectStore) -> None:
    saved_check(objects)
    saved_check(objects, verdict="inconclusive", truth="reindex", created="2026-01-02", queries=OTHER)
    assert swapped(objects)
