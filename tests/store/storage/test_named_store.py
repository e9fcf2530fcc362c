"""The store that a user names: any way that leads to it is the same store; one gallery's fault stops no other."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from skipfill.store.galleries.log import latest
from skipfill.store.galleries.register import add_gallery
from skipfill.store.models.cards import load_card
from skipfill.store.parquet.stored_rows import Columns
from skipfill.store.spaces import Space
from skipfill.store.storage.object_store import ObjectStore
from tests.conftest import Skipfill
from tests.store.stores import store_with, swap

READS = ["gallery", "verify", "g"]  # finds the gallery's files from where the store lies


@pytest.fixture
def shop(skipfill: Skipfill, tmp_path: Path) -> Path:
    """A folder with a store in `.skipfill/` and the files of its gallery g."""
    folder = tmp_path / "it's a shop"
    folder.mkdir()
    store_with(folder, 100)
    return folder


@pytest.mark.parametrize(
    ("here", "named"),
    [
        (".skipfill", "."),
        (".skipfill/galleries", ".."),
        (".", "."),
        ("sub", ".."),
        (".skipfill", None),
        (".", ".skipfill"),
        (".", ".skipfill/../.skipfill/"),
        ("..", "it's a shop"),
    ],
)
def test_every_way_to_a_store_finds_its_files(
    here: str, named: str | None, skipfill: Skipfill, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shop / "sub").mkdir()
    monkeypatch.chdir(shop / here)
    skipfill(*READS, *([] if named is None else ["--store", named]))


@pytest.mark.parametrize("target", [".skipfill", "."])
def test_a_link_to_a_store_is_the_store(target: str, skipfill: Skipfill, shop: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "link").symlink_to(shop / target)
    skipfill(*READS, "--store", elsewhere / "link")
    files = sorted(shop.glob("part-*.parquet"))
    skipfill("gallery", "add", "again", *files, "--space", "old", "--store", elsewhere / "link")
    skipfill("gallery", "verify", "again", "--store", shop / ".skipfill")


def test_a_link_in_the_folder_is_found_without_being_named(
    skipfill: Skipfill, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ".skipfill").symlink_to(shop / ".skipfill")
    monkeypatch.chdir(elsewhere)
    skipfill(*READS)


def test_init_makes_no_second_store_around_one(skipfill: Skipfill, shop: Path) -> None:
    assert f"The store is already there: {shop / '.skipfill'}" in skipfill("init", "--store", shop).out
    assert not (shop / "store.json").exists()
    skipfill("init", "--store", shop.parent / "plain")
    assert (shop.parent / "plain" / "store.json").exists()


def test_a_store_that_is_not_there_is_said(skipfill: Skipfill, shop: Path) -> None:
    assert (
        "--store: expected a folder, or a URL, found an empty string" in skipfill("status", "--store", "", expect=2).err
    )
    assert "found no such folder" in skipfill("status", "--store", "nowhere", expect=2).err
    shutil.rmtree(shop / ".skipfill")
    assert "expected a skipfill store" in skipfill("status", "--store", shop, expect=2).err


@pytest.fixture
def two(skipfill: Skipfill, tmp_path: Path) -> ObjectStore:
    """Galleries g and h; the newest version of g, its second, has lost its content."""
    objects = store_with(tmp_path, 100)
    add_gallery(objects, "h", sorted(tmp_path.glob("part-*.parquet")), Columns(), Space("old", 0), None)
    swap(objects, "g", load_card(objects, "v2"), "test")
    (objects.root / "galleries/g/versions/0000000002.json").write_bytes(b"")
    return objects


def test_the_fault_of_one_gallery_stops_no_other(skipfill: Skipfill, two: ObjectStore) -> None:
    fault = "0000000002.json: expected JSON, found an empty file"
    document = skipfill("status", "--json", expect=2).document
    assert list(document["galleries"]) == ["h"]
    assert fault in document["faults"]["g"]
    assert document["exit_code"] == 2
    shown = skipfill("status", expect=2).out.splitlines()
    assert [line.split()[0] for line in shown] == ["gallery", "g", "h"]
    assert fault in shown[1]
    assert fault in skipfill("gallery", "list", expect=2).out
    for command in (["status", "g"], ["history", "g"], ["swap", "g", "v3", "--without-check", "x"], ["rollback", "g"]):
        assert f"{fault}. See what to do about it: skipfill doctor" in skipfill(*command, expect=2).err
    for command in (["status", "h"], ["swap", "h", "v3", "--without-check", "x"], ["rollback", "h"], ["prune"]):
        skipfill(*command)
    assert "(h)" in skipfill("status", "hh", expect=2).err


def test_doctor_has_a_remedy_for_every_empty_file(skipfill: Skipfill, two: ObjectStore) -> None:
    for file in two.root.rglob("*.json"):
        if file.name != "store.json":
            file.write_bytes(b"")
    findings = skipfill("doctor", "--json", expect=1).document["findings"]
    assert {one["where"].split()[0] for one in findings} >= {"gallery", "model", "space"}
    for one in findings:
        assert one["todo"].startswith("Restore it from a copy."), one
    assert "skipfill doctor" in skipfill("swap", "h", "v2", expect=2).err


def test_doctor_says_what_to_do_about_it(skipfill: Skipfill, two: ObjectStore) -> None:
    (finding,) = skipfill("doctor", "--json", expect=1).document["findings"]
    lost = two.root / "galleries/g/versions/0000000002.json"
    assert finding["where"] == "gallery g"
    assert f"remove {lost}" in finding["todo"]
    assert "version 1 is then in force" in finding["todo"]
    first = lost.with_name("0000000001.json")
    kept = first.read_bytes()
    first.write_bytes(b"")
    findings = skipfill("doctor", "--json", expect=1).document["findings"]
    assert "No other version of this log can be read" in findings[0]["todo"]
    first.write_bytes(kept)
    lost.unlink()
    skipfill("doctor")
    assert latest(two, "g").number == 1
    skipfill("swap", "g", "v2", "--without-check", "again")
