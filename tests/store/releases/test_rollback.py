"""Rollback and repeated swaps: never further back, never twice, and never in silence; losers of a race exit 4."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save as safetensors

from skipfill.store.checks.policy import Policy
from skipfill.store.errors import BadInput, Stale
from skipfill.store.galleries.append import append_rows
from skipfill.store.galleries.log import history
from skipfill.store.galleries.policies import change_policy
from skipfill.store.galleries.refresh import refresh_gallery
from skipfill.store.galleries.register import add_gallery, drop_gallery
from skipfill.store.models.cards import load_card
from skipfill.store.models.files import save_model
from skipfill.store.parquet.stored_rows import Columns
from skipfill.store.releases.rollback import rollback
from skipfill.store.releases.swap import apply_plan, plan_swap
from skipfill.store.spaces import Space
from skipfill.store.storage.object_store import ObjectStore
from tests.conftest import Skipfill, spawn, tree, write_vectors
from tests.store.stores import card, saved_check, store_with, swap, trained_ids


@pytest.fixture
def objects(skipfill: Skipfill, tmp_path: Path) -> ObjectStore:
    """Gallery g: registered without a model (1), swapped to v2 by a check (2), to v3 without one (3)."""
    made = store_with(tmp_path, 100)
    saved_check(made)
    swap(made, "g", load_card(made, "v2"))
    swap(made, "g", load_card(made, "v3"), "it looked fine")
    return made


def releases(objects: ObjectStore) -> list[str]:
    return [version.release.model if version.release else "-" for version in history(objects, "g")]


def test_a_second_rollback_goes_no_further_back(skipfill: Skipfill, objects: ObjectStore) -> None:
    said = skipfill("rollback", "g").out
    assert said == "Rolled back: queries of g use v2, as in version 2 (now version 4)\n"
    refused = skipfill("rollback", "g", expect=4).err
    assert "expected a swap in force to roll back, found that version 4 by" in refused
    others = "3 (v3, no check allowed it, rolled back in version 4), 1 (old)"
    assert f"Versions with other releases: {others}. Bring one back with:" in refused
    assert releases(objects) == ["-", "v2", "v3", "v2"]
    skipfill("rollback", "g", "--to", 1)
    assert releases(objects)[4:] == ["-"]
    swap(objects, "g", load_card(objects, "v3"), "again")
    rollback(objects, "g")  # a swap is in force: it has a release before it
    assert releases(objects)[5:] == ["v3", "-"]


def test_a_note_says_which_checks_speak_against_what_comes_back(skipfill: Skipfill, objects: ObjectStore) -> None:
    said = skipfill("rollback", "g", "--to", 2).out
    assert "speak" not in said
    failed = saved_check(objects, "v2", verdict="fail", version=4)
    skipfill("rollback", "g", "--to", 1)
    assert "queries of g use old, as in version 1" in skipfill("rollback", "g", "--to", 1).out
    why = ("--reason", "the only one that is fast enough")
    back = skipfill("rollback", "g", "--to", 2, "--dry-run", "--json", *why).document
    assert back["checks_against"] == [f"{failed.id} fail"]
    assert f"checks since then speak against it: {failed.id} fail\n" in skipfill("rollback", "g", "--to", 2, *why).out


def test_of_racing_rollbacks_one_wins_whenever_the_others_look(objects: ObjectStore, tmp_path: Path) -> None:
    racers = [spawn("rollback", "g", cwd=tmp_path) for _ in range(3)]
    for racer in racers:
        racer.communicate(timeout=120)
    assert sorted(racer.returncode for racer in racers) == [0, 4, 4]
    assert releases(objects) == ["-", "v2", "v3", "v2"]


def test_the_same_release_has_one_name_in_history_and_message(skipfill: Skipfill, objects: ObjectStore) -> None:
    swap(objects, "g", load_card(objects, "v2"), "again")
    swap(objects, "g", load_card(objects, "v3"), "it looked fine")
    why = ("--reason", "again")
    said = skipfill("rollback", "g", "--to", 2, *why).out  # swapped to by a check, and only there
    assert "as in version 2 (now version 6." in said
    said = skipfill("rollback", "g", "--to", 3, *why).out
    assert "as in version 5 (now version 7." in said  # the same release as that of 3, and newer
    assert skipfill("history", "g", "--json").document["release_origins"]["7"] == 5


def test_a_rollback_reads_few_versions_of_a_long_log(objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(200):
        change_policy(objects, "g", Policy(margin=0.01 + number / 1000))
    read, get = [], ObjectStore.get

    def counted(store: ObjectStore, key: str) -> bytes:
        read.append(key)
        return get(store, key)

    monkeypatch.setattr(ObjectStore, "get", counted)
    rollback(objects, "g")
    assert len(read) < 12
    read.clear()
    rollback(objects, "g", to=1)
    assert len(read) < 20


def test_a_rollback_to_a_release_that_no_check_allowed_says_so(skipfill: Skipfill, objects: ObjectStore) -> None:
    skipfill("rollback", "g")
    done = skipfill("rollback", "g", "--to", 3, "--quiet", "--reason", "v2 is slow")
    assert done.out == (
        "Rolled back: queries of g use v3, as in version 3 (now version 5. Reason: v2 is slow); version 3 was FORCED "
        "without a passing check, for this reason: it looked fine\n"
    )
    shown = skipfill("history", "g").out
    came_back = "Came back after the rollback in version 4"
    assert f"as in version 3. FORCED without a passing check. {came_back}. Reason: v2 is slow" in shown
    again = skipfill("rollback", "g", "--to", 3, "--json").document
    assert (again["already"], again["version"]["number"], again["origin"]) == (True, 5, 3)
    assert "Nothing to do" in skipfill("rollback", "g", "--to", 5).out
    assert len(history(objects, "g")) == 5


def test_a_rollback_to_a_model_that_is_gone_says_so(skipfill: Skipfill, objects: ObjectStore) -> None:
    shutil.rmtree(objects.root / "models" / "v2")
    refused = skipfill("rollback", "g", expect=1).err
    assert "v2 comes back only with a reason: model v2 is not in this store" in refused
    said = skipfill("rollback", "g", "--reason", "queries are encoded elsewhere").out
    assert (
        "use v2, as in version 2 (now version 4. Reason: queries are encoded elsewhere); model v2 is not in this store"
        in said
    )
    (objects.root / "models/v3/card.json").write_text("{")
    said = skipfill("rollback", "g", "--to", 3, "--reason", "why not").out
    assert "(now version 5. Reason: why not); version 3 was FORCED without a passing check" in said


def test_a_version_that_is_none_of_this_gallery_is_refused(skipfill: Skipfill, objects: ObjectStore) -> None:
    for version in (4, 99):
        refused = skipfill("rollback", "g", "--to", version, expect=2).err
        possible = f"--to: expected a version of gallery g since it was registered (1 to 3), found {version}"
        assert f"{possible}. Versions with other releases: 2 (v2), 1 (old). Bring one back with:" in refused
    drop_gallery(objects, "g")
    files = sorted(objects.root.parent.glob("part-*.parquet"))
    add_gallery(objects, "g", files, Columns(), Space("old", 0), None)
    refused = skipfill("rollback", "g", "--to", 3, expect=2).err  # perhaps of another space
    assert "since it was registered (5 to 5), found 3. See: skipfill history g" in refused
    assert releases(objects) == ["-", "v2", "v3", "-", "-"]


def test_the_history_shows_which_version_brought_a_release(skipfill: Skipfill, objects: ObjectStore) -> None:
    rollback(objects, "g")
    change_policy(objects, "g", Policy(margin=0.01))
    rollback(objects, "g", "v2 is slow", to=3)
    document = skipfill("history", "g", "--json").document
    assert document["release_origins"] == {"1": 1, "2": 2, "3": 3, "4": 2, "5": 2, "6": 3}
    lines = skipfill("history", "g").out.splitlines()
    assert "rolled back" in lines[-1]
    assert "as in version 3. FORCED without a passing check. " in lines[-1]
    assert lines[-1].endswith("Reason: v2 is slow")


def test_a_swap_to_the_released_model_is_already_so(skipfill: Skipfill, objects: ObjectStore, tmp_path: Path) -> None:
    before = tree(tmp_path)
    for options in ([], ["--dry-run"], ["--without-check", "again"]):
        done = skipfill("swap", "g", "v3", *options)
        assert done.out == "Nothing to do: queries of g use v3 already, since version 3\n"
    assert skipfill("swap", "g", "v3", "--json").document["already"] is True
    assert tree(tmp_path) == before
    failed = saved_check(objects, "v3", verdict="fail", version=3)
    said = skipfill("swap", "g", "v3")
    assert f"Checks since then speak against it: {failed.id} fail" in said.out
    assert skipfill("swap", "g", "v3", "--json").document["checks_against"] == [f"{failed.id} fail"]


def test_a_plan_that_is_in_force_is_already_so(skipfill: Skipfill, objects: ObjectStore) -> None:
    skipfill("plan", "g", "v2", "--without-check", "back", "-o", "plan.json")
    skipfill("swap", "g", "--plan", "plan.json")
    change_policy(objects, "g", Policy(margin=0.01))
    assert (
        "Nothing to do: queries of g use v2 already, since version 4"
        in skipfill("swap", "g", "--plan", "plan.json").out
    )
    rollback(objects, "g", "it was too early")
    assert "already applied this plan" in skipfill("swap", "g", "--plan", "plan.json", expect=4).err
    assert len(history(objects, "g")) == 6


def test_what_is_already_the_policy_is_not_written_again(skipfill: Skipfill, objects: ObjectStore) -> None:
    skipfill("policy", "g", "--margin", 0.01)
    again = skipfill("policy", "g", "--margin", 0.01)
    assert "Nothing to do: this is the policy of g already (version 4)" in again.out
    assert len(history(objects, "g")) == 4


def more(objects: ObjectStore) -> Path:
    folder = objects.root.parent
    return write_vectors(folder / "more.parquet", np.random.default_rng(9).normal(size=(5, 4)), np.arange(200, 205))


def other_first(objects: ObjectStore) -> None:
    swap(objects, "g", load_card(objects, "v2"), "quicker")


COMMITS: dict[str, Callable[[ObjectStore], object]] = {
    "swap": lambda objects: swap(objects, "g", load_card(objects, "v2"), "slower"),
    "rollback": lambda objects: rollback(objects, "g"),
    "rollback to": lambda objects: rollback(objects, "g", to=1),
    "policy": lambda objects: change_policy(objects, "g", Policy(margin=0.01)),
    "append": lambda objects: append_rows(objects, "g", [more(objects)]),
    "refresh": lambda objects: refresh_gallery(objects, "g", [more(objects)]),
    "drop": lambda objects: drop_gallery(objects, "g"),
}


@pytest.mark.parametrize("command", COMMITS)
def test_who_loses_a_race_is_told_of_it(command: str, objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another engineer's swap lands between the last look at the log and the write of the next version."""
    put_new = ObjectStore.put_new

    def late(store: ObjectStore, key: str, data: bytes) -> bool:
        if "/versions/" in key:
            monkeypatch.setattr(ObjectStore, "put_new", put_new)
            other_first(objects)
        return put_new(store, key, data)

    monkeypatch.setattr(ObjectStore, "put_new", late)
    with pytest.raises(Stale, match=r"gallery g changed meanwhile: version 4 by .* at .* swapped to v2"):
        COMMITS[command](objects)
    assert releases(objects) == ["-", "v2", "v3", "v2"]


def test_who_swaps_at_once_is_told_of_no_plan(objects: ObjectStore) -> None:
    """The other's change lands between the plan and its application, which are one command."""
    planned = plan_swap(objects, "g", load_card(objects, "v2"), "slower")
    rollback(objects, "g", to=1)
    with pytest.raises(Stale, match=r"gallery g changed meanwhile: version 4 by .* rolled back to old"):
        apply_plan(objects, planned, at_once=True)
    with pytest.raises(Stale, match=rf"plan {planned.id}: gallery version: expected 3 .* version 4 by .* rolled back"):
        apply_plan(objects, planned)


def test_who_registers_second_is_told_of_the_race(objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    files = sorted(objects.root.parent.glob("part-*.parquet"))
    put_new = ObjectStore.put_new

    def late(store: ObjectStore, key: str, data: bytes) -> bool:
        if "galleries/h/versions/" in key or key == "models/v9/card.json":
            monkeypatch.setattr(ObjectStore, "put_new", put_new)
            if "v9" in key:
                save_model(objects, card("v9"), b"first", trained_ids())
            else:
                add_gallery(objects, "h", files, Columns(), Space("old", 0), None)
        return put_new(store, key, data)

    monkeypatch.setattr(ObjectStore, "put_new", late)
    with pytest.raises(Stale, match=r"gallery h changed meanwhile: version 1 by .* registered it"):
        add_gallery(objects, "h", files, Columns(), Space("old", 0), None)
    monkeypatch.setattr(ObjectStore, "put_new", late)
    with pytest.raises(Stale, match="model v9: another model of this name was saved first"):
        save_model(objects, card("v9"), b"second", trained_ids())
    with pytest.raises(BadInput, match="expected a name that is free"):  # no race: it was there before
        add_gallery(objects, "h", files, Columns(), Space("old", 0), None)


def test_who_adds_a_model_second_is_told_of_the_race(
    skipfill: Skipfill, objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(objects, card("v8"), safetensors({"a": np.zeros(2)}), trained_ids())
    skipfill("model", "export", "v8", "-o", "v8.skipfill")
    put_new = ObjectStore.put_new

    def late(store: ObjectStore, key: str, data: bytes) -> bool:
        if key == "models/v9/card.json":
            monkeypatch.setattr(ObjectStore, "put_new", put_new)
            save_model(objects, card("v9"), b"first", trained_ids())
        return put_new(store, key, data)

    monkeypatch.setattr(ObjectStore, "put_new", late)
    monkeypatch.setattr("skipfill.compat.inference.trial.try_bundle", lambda path, card: None)  # it has no network
    refused = skipfill("model", "add", "v8.skipfill", "--name", "v9", expect=4).err
    assert "model v9: another model of this name was saved first" in refused
