"""Messages say which store was looked at: a night at work is long, and SKIPFILL_STORE may name another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from skipfill.store.galleries.log import latest
from skipfill.store.storage.location import open_store
from tests.conftest import Skipfill
from tests.store.stores import saved_check, store_with


def test_an_unknown_gallery_is_told_with_the_store_and_its_galleries(skipfill: Skipfill, tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    skipfill("gallery", "add", "intents", "part-0000.parquet", "--space", "old")
    told = skipfill("status", "intnts", expect=2).err
    assert f"expected a known gallery of store {objects.root} (intents, g), found 'intnts'" in told
    assert "--store or SKIPFILL_STORE" in told
    assert "gallery add" not in told
    skipfill("init", "--store", "empty")
    told = skipfill("status", "intents", "--store", "empty", expect=2).err
    assert f"store {tmp_path / 'empty'}, which has none" in told
    assert "Is this the right store?" in told


@pytest.mark.parametrize("command", [[], ["status"], ["swap", "g", "v2"], ["rollback", "g"]])
def test_a_variable_that_names_no_store_is_named(
    skipfill: Skipfill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    store_with(tmp_path, 100)
    monkeypatch.setenv("SKIPFILL_STORE", str(tmp_path / "gone"))
    told = skipfill(*command, expect=2)
    assert f"{tmp_path / 'gone'}: expected a skipfill store" in told.err
    assert "SKIPFILL_STORE names this store: correct that, or name another with --store." in told.err
    assert "No store in this folder" not in told.out


def test_a_swap_and_a_rollback_name_a_store_that_the_folder_does_not_tell(
    skipfill: Skipfill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = store_with(tmp_path, 100)
    saved_check(objects)
    assert "Store:" not in skipfill("swap", "g", "v2", "--dry-run").err
    told = skipfill("swap", "g", "v2", "--store", ".skipfill").err
    assert f"Store: {objects.root}, from --store" in told
    monkeypatch.setenv("SKIPFILL_STORE", ".skipfill")
    assert f"Store: {objects.root}, from SKIPFILL_STORE" in skipfill("rollback", "g").err
    assert f"Store {objects.root}, from SKIPFILL_STORE: galleries: 1" in skipfill().out
    assert f"Store: {objects.root}, from SKIPFILL_STORE" in skipfill("status").err


def test_status_of_an_empty_store_names_it(skipfill: Skipfill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skipfill("init")
    root = tmp_path / ".skipfill"
    shown = skipfill("status")
    assert shown.out == f"No gallery in store {root}\n"
    assert "Next: skipfill gallery add NAME FILES" in shown.err
    monkeypatch.setenv("SKIPFILL_STORE", str(root))
    assert skipfill("status").out == f"No gallery in store {root}, from SKIPFILL_STORE\n"
    assert skipfill("status", "--json").document["galleries"] == {}


def test_init_where_there_are_galleries_does_not_start_over(skipfill: Skipfill, tmp_path: Path) -> None:
    store_with(tmp_path, 100)
    told = skipfill("init")
    assert "The store is already there" in told.out
    assert "train v1" not in told.err


def test_a_new_space_with_nearly_a_known_name_is_noted(skipfill: Skipfill, tmp_path: Path) -> None:
    store_with(tmp_path, 100)
    add = ("gallery", "add", "h", "part-0000.parquet", "--dry-run", "--space")
    skipfill("gallery", "add", "tf", "part-0000.parquet", "--space", "tfidf")
    assert "Note: tfdif is a new space (nearest known: tfidf)" in skipfill(*add, "tfdif").err
    assert "Note" not in skipfill(*add, "tfidf").err
    assert "Note" not in skipfill(*add, "ada").err


def test_a_parquet_file_is_no_bundle(skipfill: Skipfill, tmp_path: Path) -> None:
    store_with(tmp_path, 100)
    told = skipfill("model", "add", "part-0000.parquet", expect=2).err
    assert "expected an exported bundle, found a Parquet file. To write a bundle: skipfill model exp" in told


def test_an_empty_reason_is_no_reason(skipfill: Skipfill, tmp_path: Path) -> None:
    store_with(tmp_path, 100)
    for command in ("swap", "plan"):
        assert "expected a reason" in skipfill(command, "g", "v2", "--without-check", " ", expect=2).err
    for command in (["swap", "g", "v2"], ["rollback", "g"], ["policy", "g", "--margin", "0.1"]):
        assert "--reason: expected a reason" in skipfill(*command, "--reason", "", expect=2).err
    assert latest(open_store(tmp_path / ".skipfill"), "g").number == 1
