"""Rows appended to a gallery: found by searches, the release kept, older checks void, no id twice, one winner."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skipfill.store.errors import Stale
from skipfill.store.galleries.append import append_rows
from skipfill.store.galleries.log import history, latest
from skipfill.store.galleries.verify import reread_gallery
from skipfill.store.models.cards import load_card
from skipfill.store.releases.rollback import rollback
from skipfill.store.storage.object_store import ObjectStore
from tests.conftest import Skipfill, World, spawn, tree, write_vectors
from tests.store.stores import store_with, swap

SWAP = ("swap", "g", "v2", "--without-check", "race")
APPEND = ("gallery", "append", "g", "more.parquet")


def more(folder: Path, name: str = "more", first: int = 100, count: int = 7, dim: int = 4) -> Path:
    vectors = np.random.default_rng(first).normal(size=(count, dim))
    return write_vectors(folder / f"{name}.parquet", vectors, np.arange(first, first + count))


def released(objects: ObjectStore) -> tuple[str | None, int]:
    now = latest(objects, "g")
    return now.release.model if now.release else None, now.rows


def test_appended_rows_are_found_and_a_check_made_before_no_longer_counts(skipfill: Skipfill, with_v2: World) -> None:
    check = ("check", "things", "v2", "--items", with_v2.known, "--metric", "mAP", "--accept-worse", "unseen")
    skipfill(*check)
    skipfill("encode", "v1", with_v2.heldout, "-o", "more.parquet")
    before = tree(Path())
    planned = skipfill("gallery", "append", "things", "more.parquet", "--dry-run", "--json").document
    assert planned["version"]["number"] == 2
    assert tree(Path()) == before
    done = skipfill("gallery", "append", "things", "more.parquet", "--reason", "new stock", "--json").document
    rows = pq.read_metadata("gallery.parquet").num_rows + pq.read_metadata("more.parquet").num_rows
    assert (done["version"]["action"], done["version"]["reason"], done["version"]["rows"]) == (
        "appended",
        "new stock",
        rows,
    )
    assert done["version"]["release"]["model"] == "v1"
    assert [Path(one["path"]).name for one in done["files"]] == ["gallery.parquet", "more.parquet"]
    assert all(one["content"] for one in done["files"])
    hits = skipfill("search", "things", "--vectors", "more.parquet", "-k", 1, "--json").document["hits"]
    assert [hit["id"] for hit in hits] == pq.read_table("more.parquet").column("id").to_pylist()
    refused = skipfill("swap", "things", "v2", expect=1).err
    assert "expected a passing check of v2, found none of this version" in refused
    assert f"was for version 1; version 2 appended {pq.read_metadata('more.parquet').num_rows} rows" in refused
    assert "appended" in skipfill("history", "things").out
    skipfill("gallery", "verify", "things")


def test_what_was_undone_is_the_release_and_never_the_rows(tmp_path: Path) -> None:
    """Every order of appends and swaps rolls back one swap at a time and keeps every row."""
    objects = store_with(tmp_path, 100)
    swap(objects, "g", load_card(objects, "v2"), "test")
    append_rows(objects, "g", [more(tmp_path)])
    assert released(objects) == ("v2", 107)
    swap(objects, "g", load_card(objects, "v3"), "test")
    append_rows(objects, "g", [more(tmp_path, "last", 200, 3)])
    assert released(objects) == ("v3", 110)
    seen = []
    for to in (0, 1):
        rollback(objects, "g", "no check allowed it", to)
        seen.append(released(objects))
    assert seen == [("v2", 110), (None, 110)]
    with pytest.raises(Stale, match="expected a swap in force"):
        rollback(objects, "g")
    log = history(objects, "g")
    assert [one.number for one in log] == list(range(1, 8))
    assert not [one for one in log if one.plan and one.action != "swapped"]
    assert len({one.state for one in log}) == 7  # no check of one counts for another
    reread_gallery(objects, "g")


def test_a_swap_while_the_rows_are_read_stays_in_force(tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    card = load_card(objects, "v2")
    append_rows(objects, "g", [more(tmp_path)], progress=lambda rows: swap(objects, "g", card, "meanwhile") and None)
    assert released(objects) == ("v2", 107)
    rollback(objects, "g")
    assert released(objects) == (None, 107)


def test_rows_appended_while_others_are_read_are_compared_again(skipfill: Skipfill, tmp_path: Path) -> None:
    """Two appends of the same ids: whichever is second finds them."""
    store_with(tmp_path, 100)
    more(tmp_path)
    more(tmp_path, "same")
    racers = [spawn("gallery", "append", "g", f"{name}.parquet", "--json", cwd=tmp_path) for name in ("more", "same")]
    codes = sorted([racer.communicate(timeout=120)[0] and racer.returncode for racer in racers])
    assert codes[0] == 0
    assert codes[1] in (2, 4)
    assert skipfill("gallery", "append", "g", "more.parquet", expect=2).code == 2
    assert skipfill("gallery", "append", "g", "same.parquet", expect=2).code == 2
    assert skipfill("gallery", "verify", "g", "--json").document["version"]["rows"] == 107


def test_appends_and_swaps_that_race_are_one_after_the_other(tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    for index in range(3):
        more(tmp_path, f"more-{index}", 100 + 10 * index)
    commands = [("gallery", "append", "g", f"more-{index}.parquet", "--json") for index in range(3)]
    racers = [spawn(*one, cwd=tmp_path) for one in [*commands, (*SWAP, "--json"), ("swap", "g", "v3", *SWAP[3:])]]
    results = [(racer.communicate(timeout=120), racer.returncode) for racer in racers]
    assert {code for _, code in results} <= {0, 4}
    for (_, complaint), code in results:
        assert code == 0 or "error: " in complaint
    log = history(objects, "g")
    assert [one.number for one in log] == list(range(1, len(log) + 1))
    assert len(log) - 1 == sum(code == 0 for _, code in results)
    for before, after in pairwise(log):
        if after.action == "appended":
            assert (after.release, after.undo, after.rows) == (before.release, before.undo, before.rows + 7)
        else:
            assert (after.files, after.rows, after.undo) == (before.files, before.rows, before.number)
    assert log[-1].rows == 100 + 7 * sum(code == 0 for _, code in results[:3])
    reread_gallery(objects, "g")


def other_encoder(folder: Path) -> None:
    path = more(folder)
    table = pq.read_table(path).replace_schema_metadata(
        {"skipfill": json.dumps({"model": "v2", "fingerprint": "f" * 64})}
    )
    pq.write_table(table, path)


def spoiled(folder: Path) -> None:
    vectors = np.ones((3, 8))
    vectors[1, 2] = np.nan
    write_vectors(folder / "more.parquet", vectors, ["a", "b", "c"], ["x", "y", "z"])


BAD = {
    "an id that is there": (
        lambda folder: write_vectors(folder / "more.parquet", np.ones((1, 8)), ["i0000"], ["x"]),
        "expected unique ids, found 'i0000' 2 times",
    ),
    "an id twice": (
        lambda folder: write_vectors(folder / "more.parquet", np.ones((2, 8)), ["a", "a"], ["x", "x"]),
        "expected unique ids, found 'a' 2 times",
    ),
    "another dimension": (
        lambda folder: write_vectors(folder / "more.parquet", np.ones((1, 4)), ["a"], ["x"]),
        "space v1: expected 8 dimensions (those of model v1), found 4 in more.parquet",
    ),
    "ids of another type": (
        lambda folder: write_vectors(folder / "more.parquet", np.ones((1, 8)), [1], ["x"]),
        "expected ids of type string, as in gallery things, found int64",
    ),
    "no labels": (lambda folder: write_vectors(folder / "more.parquet", np.ones((1, 8)), ["a"]), "a column 'label'"),
    "NaN": (spoiled, "row 1: expected finite numbers"),
    "vectors of another length": (
        lambda folder: write_vectors(folder / "more.parquet", np.ones((1, 8)), ["a"], ["x"]),
        "expected a vector of length 1",
    ),
    "another model's vectors": (
        other_encoder,
        "expected vectors in space v1, found vectors by v2 (ffffffffffff) in space v2",
    ),
    "a registered file": (
        lambda folder: (folder / "more.parquet").symlink_to(folder / "gallery.parquet"),
        "expected a file that is not in gallery things yet",
    ),
    "no file": (lambda folder: None, "found no such file"),
}


@pytest.mark.parametrize("case", BAD)
def test_rows_that_do_not_belong_there_are_refused(
    skipfill: Skipfill, registered: World, tmp_path: Path, case: str
) -> None:
    make, expected = BAD[case]
    make(tmp_path)
    before = tree(tmp_path)
    assert expected in skipfill("gallery", "append", "things", "more.parquet", expect=2).err
    assert tree(tmp_path) == before


def test_rows_are_not_appended_beside_files_that_changed(tmp_path: Path) -> None:
    store_with(tmp_path, 100)
    more(tmp_path)
    table = pq.read_table(tmp_path / "part-0000.parquet")
    pq.write_table(table.set_column(0, "id", pa.array(range(1000, 1100))), tmp_path / "part-0000.parquet")
    done = spawn(*APPEND, cwd=tmp_path)
    assert "found another one" in done.communicate(timeout=60)[1]
    assert done.returncode == 4
    assert len(open_gallery_versions(tmp_path)) == 1


def open_gallery_versions(folder: Path) -> list[Path]:
    return list((folder / ".skipfill" / "galleries" / "g" / "versions").iterdir())
