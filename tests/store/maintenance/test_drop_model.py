"""Dropping a model frees its space, never that of a model in use; a kill leaves no half bundle that looks whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from skipfill.store.checks.policy import Policy
from skipfill.store.galleries.policies import change_policy
from skipfill.store.galleries.register import add_gallery, drop_gallery
from skipfill.store.models.cards import load_card, model_names
from skipfill.store.models.files import save_model
from skipfill.store.parquet.stored_rows import Columns
from skipfill.store.releases.rollback import rollback
from skipfill.store.spaces import Space
from skipfill.store.storage.object_store import ObjectStore
from tests.conftest import Skipfill, World, tree
from tests.store.stores import card, saved_check, store_with, swap, trained_ids

DROP = ("model", "drop", "v2", "--confirm", "v2")


@pytest.fixture
def objects(skipfill: Skipfill, tmp_path: Path) -> ObjectStore:
    return store_with(tmp_path, 100)


def test_a_model_in_use_stays(skipfill: Skipfill, objects: ObjectStore, tmp_path: Path) -> None:
    swap(objects, "g", load_card(objects, "v2"), "test")
    save_model(objects, card("old"), b"old", trained_ids())
    before = tree(tmp_path)
    assert "found that queries of gallery g use it" in skipfill(*DROP, expect=2).err
    old = skipfill("model", "drop", "old", "--confirm", "old", expect=2).err
    assert "it made the vectors of gallery g:" in old
    for confirm in ([], ["--confirm", "v3"]):
        assert "Add: --confirm v2" in skipfill("model", "drop", "v2", *confirm, expect=2).err
    assert tree(tmp_path) == before


def test_a_drop_frees_the_space_and_says_what_is_lost(skipfill: Skipfill, objects: ObjectStore, tmp_path: Path) -> None:
    swap(objects, "g", load_card(objects, "v2"), "test")
    swap(objects, "g", load_card(objects, "v3"), "test")
    before = tree(tmp_path)
    size = sum(len(data) for name, data in before.items() if name.startswith(".skipfill/models/v2/"))
    would = skipfill(*DROP, "--dry-run", "--json").document
    assert (would["bytes"], would["no_way_back"]) == (size, {"g": [2]})
    assert tree(tmp_path) == before
    assert "cannot be rolled back to version 2 without a reason" in skipfill(*DROP).out
    assert {name for name in before if name not in tree(tmp_path)} == {name for name in before if "/models/v2/" in name}
    assert model_names(objects) == ["v3"]
    refused = skipfill("rollback", "g", expect=1).err
    assert "model v2 is not in this store" in refused
    assert "(0 bytes)" in skipfill("prune", "--all-ages").out


def test_a_model_under_two_names_can_still_be_rolled_back_to(skipfill: Skipfill, objects: ObjectStore) -> None:
    saved_check(objects)
    swap(objects, "g", load_card(objects, "v2"))
    save_model(objects, replace(load_card(objects, "v2"), name="candidate"), b"v2", trained_ids())
    swap(objects, "g", load_card(objects, "v3"), "test")
    dropped = skipfill(*DROP).out
    assert "cannot be rolled back" not in dropped
    assert "The same model stays in the store as candidate" in dropped
    assert (
        "use v2, as in version 2 (now version 4); model v2 is in this store as candidate"
        in skipfill("rollback", "g").out
    )
    assert skipfill("doctor", "--json").document["findings"] == []


def test_a_release_searches_with_its_model_under_another_name(skipfill: Skipfill, with_v2: World) -> None:
    skipfill("swap", "things", "v2", "--without-check", "test")
    asked = ("search", "things", "--items", with_v2.heldout, "-k", 3, "--json")
    before = skipfill(*asked).document["hits"]
    skipfill("model", "export", "v2", "-o", "v2.skipfill")
    skipfill("model", "add", "v2.skipfill", "--name", "candidate")
    skipfill("rollback", "things")
    skipfill(*DROP)
    skipfill("rollback", "things", "--to", 2, "--reason", "false alarm")
    assert skipfill(*asked).document["hits"] == before


def test_a_kill_at_any_write_leaves_a_whole_model_or_leftovers(
    skipfill: Skipfill, objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_at = 0
    while True:
        killed_at += 1
        left = [killed_at]

        def counted(kind: str, left: list[int] = left) -> None:
            real = getattr(ObjectStore, kind)

            def call(*arguments: object) -> object:
                left[0] -= 1
                if left[0] == 0:
                    raise KeyboardInterrupt
                return real(*arguments)

            patch.setattr(ObjectStore, kind, call)

        with pytest.MonkeyPatch.context() as patch:
            counted("delete")
            counted("move")
            code = skipfill(*DROP, expect=None).code
        if code == 0:
            break
        if model_names(objects) == ["v2", "v3"]:
            skipfill("doctor", "--deep")
        else:
            skipfill("prune", "--yes", "--all-ages")
            assert not [name for name in tree(objects.root) if "models/v2" in name]
            save_model(objects, card("v2"), b"v2", trained_ids())
    assert killed_at > 3


def test_a_swap_that_came_first_keeps_the_model(
    skipfill: Skipfill, objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ObjectStore.move

    def move(store: ObjectStore, key: str, to: str) -> object:
        if key == "models/v2/card.json":
            swap(objects, "g", load_card(objects, "v2"), "just now")
        return real(store, key, to)

    monkeypatch.setattr(ObjectStore, "move", move)
    assert "queries of gallery g use it" in skipfill(*DROP, expect=2).err
    assert model_names(objects) == ["v2", "v3"]
    skipfill("doctor", "--deep")


def test_a_nearly_full_disk_names_what_could_go(
    skipfill: Skipfill, objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    swap(objects, "g", load_card(objects, "v3"), "test")
    monkeypatch.setattr("skipfill.store.maintenance.doctor.LITTLE_SPACE", 2**62)
    (full,) = [one for one in skipfill("doctor", "--json", expect=1).document["findings"] if "left on" in one["what"]]
    assert "model v2, which no gallery uses" in full["todo"]
    assert "skipfill model drop MODEL" in full["todo"]
    assert "v3" not in full["todo"]


def test_a_release_without_its_bundle_is_a_problem(skipfill: Skipfill, objects: ObjectStore, tmp_path: Path) -> None:
    swap(objects, "g", load_card(objects, "v2"), "test")
    (objects.root / "models/v2").rename(tmp_path / "v2")
    (found,) = [one for one in skipfill("doctor", "--json", expect=1).document["findings"] if one["kind"] == "problem"]
    assert "its released model v2 is not in this store" in found["what"]
    assert "roll back" in found["todo"]
    rollback(objects, "g")


def test_prune_takes_the_row_hashes_of_a_dropped_gallery_but_not_its_checks(
    skipfill: Skipfill, objects: ObjectStore
) -> None:
    failed = saved_check(objects, verdict="fail")
    drop_gallery(objects, "g")
    hashes = [name for name in tree(objects.root) if name.startswith("galleries/g/rows/")]
    assert hashes
    skipfill("prune", "--yes", "--all-ages")
    assert not [name for name in tree(objects.root) if name.startswith("galleries/g/rows/")]
    assert len(skipfill("history", "g", "--json").document["versions"]) == 2
    files = sorted(objects.root.parent.glob("part-*.parquet"))
    add_gallery(objects, "g", files, Columns(), Space("old", 0), None)
    assert f"found {failed.id} fail" in skipfill("swap", "g", "v2", expect=1).err  # dropping is no way around it
    skipfill("prune", "--yes", "--all-ages")
    assert [name for name in tree(objects.root) if name.startswith("galleries/g/rows/")] == hashes


def test_a_swap_that_needs_more_names_who_set_the_policy(skipfill: Skipfill, objects: ObjectStore) -> None:
    saved_check(objects)
    by = change_policy(objects, "g", Policy(confidence=0.99), "INC-43 a wrong pass").by
    refused = skipfill("swap", "g", "v2", expect=1).err
    told = refused.index(f"The policy was set in version 2 by {by}: INC-43 a wrong pass.")
    assert told < refused.index("Or, if less is enough for this gallery: skipfill policy g --confidence 0.95")
