"""A mixed gallery: after the swap, the new model makes the rows of new items, in its view onto the gallery's space."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skipfill.store.errors import BadInput
from skipfill.store.galleries.append import append_rows
from skipfill.store.galleries.file_list import read_files
from skipfill.store.galleries.gallery import open_gallery
from skipfill.store.galleries.log import latest, read_version
from skipfill.store.galleries.register import add_gallery
from skipfill.store.galleries.verify import reread_gallery
from skipfill.store.models.cards import load_card
from skipfill.store.models.files import save_model
from skipfill.store.parquet.stored_rows import Columns
from skipfill.store.spaces import Space, View
from skipfill.store.storage.location import open_store
from skipfill.store.storage.object_store import ObjectStore
from tests.conftest import Skipfill, World, tree, write_vectors
from tests.store.stores import card, store_with, trained_ids

SHORT = ("--gallery", "things", "--epochs", 2, "--batch", 32, "--quiet")
CHECK = ("check", "things", "v2", "--json", "--items")


def columns(path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = pq.read_table(path)
    vectors = np.stack(table.column("vector").to_pylist()).astype(np.float64)
    return np.array(table.column("id")), vectors, np.array(table.column("label"))


def first_is_right(queries: str, *gallery: str) -> float:
    """CMC@1, the query's own row left out, by the definition."""
    ids, vectors, labels = columns(queries)
    parts = [columns(path) for path in gallery]
    row_ids, rows, row_labels = (np.concatenate([part[at] for part in parts]) for at in range(3))
    scores = np.where(ids[:, None] == row_ids[None, :], -2, vectors @ rows.T)
    return float(np.mean(row_labels[scores.argmax(axis=1)] == labels))


def test_new_items_get_into_the_old_gallery_by_the_new_model(skipfill: Skipfill, with_v2: World) -> None:
    skipfill("train", "before", "--items", with_v2.items, *SHORT)
    skipfill("swap", "things", "v2", "--without-check", "test")
    encoded = skipfill("encode", "v2", with_v2.known, "-o", "new.parquet", "--onto", "v1")
    assert "dim 8, in space v1" in encoded.out
    assert "skipfill gallery append things new.parquet" in encoded.err
    crowding = "rows by v2 tend to crowd out the rows by v1. While v1 is in the store, encode new rows with it"
    assert crowding in encoded.err
    new = pq.read_metadata("new.parquet").num_rows
    assert crowding in skipfill("gallery", "append", "things", "new.parquet").err

    shown = skipfill("gallery", "show", "things", "--json").document
    made = [(one["model"], one["rows"]) for one in shown["rows_by"]]
    assert made == [("v1", 384), ("v2", new)]
    assert [(one["model"], bool(one["encoder"])) for one in shown["files"]] == [("", False), ("v2", True)]
    assert "mixed" in skipfill("gallery", "show", "things").out
    assert skipfill("status", "things", "--json").document["version"]["rows"] == 384 + new
    assert f"{384 + new}, mixed: {new} by v2" in skipfill("status", "things").out
    assert "appended" in skipfill("history", "things").out
    same = "encodes its witness items as when it was saved"
    assert skipfill("gallery", "verify", "things", "--deep", "--json").document["models"] == {"v1": same, "v2": same}
    (forced,) = skipfill("doctor", "--deep", "--json").document["findings"]
    assert forced["kind"] == "note"
    assert "FORCED" in forced["what"]

    hits = skipfill("search", "things", "--items", with_v2.known, "-k", 1, "--json").document["hits"]
    assert [one["id"] for one in hits] == pq.read_table("new.parquet").column("id").to_pylist()

    # Queries whose rows the new model made: the old model must encode them all the same.
    report = skipfill(*CHECK, with_v2.known, expect=None).document["check"]
    assert [(one["model"], one["rows"]) for one in report["rows_by"]] == made
    assert report["baseline"] == "encoded by v1"
    skipfill("encode", "v1", with_v2.known, "-o", "old.parquet")
    cells = {one["pair"]: one["value"]["mean"] for one in report["slices"][0]["cells"] if one["metric"] == "CMC@1"}
    found = [first_is_right(queries, "gallery.parquet", "new.parquet") for queries in ("old.parquet", "new.parquet")]
    assert [cells["old/old"], cells["new/old"]] == pytest.approx(found)
    assert found[0] != found[1]
    stored = skipfill(*CHECK, with_v2.gallery_items, expect=None).document["check"]
    assert stored["baseline"] == "stored vectors of the queries' ids"
    assert f"384 rows by v1, {new} rows by v2" in skipfill(*CHECK[:3], "--items", with_v2.known, expect=None).out

    # What the new model made is no example of the old one: the training is the same as without these rows.
    skipfill("train", "after", "--items", with_v2.items, *SHORT)
    objects = open_store(Path(".skipfill"))
    before, after = load_card(objects, "before"), load_card(objects, "after")
    assert (after.fingerprint, after.gallery["rows"]) == (before.fingerprint, 384)

    # A file of a mixed gallery is found changed as any other; its models are looked at.
    Path(".skipfill/models/v2").rename("v2")
    told = skipfill("gallery", "verify", "things", "--deep", "--json").document["models"]
    assert told == {"v1": same, "v2": "not in the store"}
    assert "released model" in skipfill("search", "things", "--items", with_v2.known, expect=2).err
    skipfill("rollback", "things")
    assert skipfill("status", "things", "--json").document["version"]["rows"] == 384 + new


def test_queries_that_only_a_later_model_stored_need_the_old_model(skipfill: Skipfill, registered: World) -> None:
    skipfill("train", "v2", "--items", registered.items, *SHORT)
    skipfill("encode", "v2", registered.known, "-o", "new.parquet", "--onto", "v1")
    skipfill("gallery", "append", "things", "new.parquet")
    Path(".skipfill/models/v1").rename("v1")
    refused = skipfill(*CHECK, registered.known, expect=2).err
    assert "none of the 144 query ids are rows of things by that model" in refused
    skipfill(*CHECK, registered.gallery_items, expect=None)


def made(objects: ObjectStore, folder: Path, change: Callable[[dict[str, str]], Any] = lambda by: by) -> Path:
    """Vectors that say they are by v2 in its view onto space `old`, unless `change` has them say something else."""
    by = {"model": "v2", "fingerprint": load_card(objects, "v2").fingerprint, "space": "old", "view": "prefix 4"}
    vectors = np.random.default_rng(1).normal(size=(5, 4))
    path = write_vectors(
        folder / "new.parquet", vectors / np.linalg.norm(vectors, axis=1)[:, None], np.arange(200, 205)
    )
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({"skipfill": json.dumps(change(by) or by)}), path)
    return path


def test_the_file_list_says_who_made_each_file(tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    gallery = append_rows(objects, "g", [made(objects, tmp_path)])
    assert [(one.model, one.rows) for one in gallery.rows_by] == [("old", 100), ("v2", 5)]
    assert gallery.rows_by == open_gallery(objects, "g").rows_by == reread_gallery(objects, "g").rows_by
    assert [one.model for one in read_files(objects, "g", latest(objects, "g"))] == ["", "v2"]
    assert [one.model for one in read_files(objects, "g", read_version(objects, "g", 1))] == [""]
    own = gallery.own_part
    assert (own.rows.count, sum(len(block.ids) for block in own.rows.blocks())) == (100, 100)
    assert gallery.of_length_one == {tmp_path / "new.parquet"}


STRANGE: dict[str, tuple[Callable[[dict[str, str]], Any], str]] = {
    "its own space": (
        lambda by: by.update(space="v2"),
        "expected vectors in space old, found vectors by v2 (",
    ),
    "another model of that name": (lambda by: by.update(fingerprint="f" * 64), "found ffffffffffff"),
    "no such model here": (lambda by: by.update(model="v9"), "expected model v9 in this store"),
    "a name that leads elsewhere": (lambda by: by.update(model="../../etc"), "found '../../etc'"),
    "another view": (lambda by: by.update(view="prefix 3"), "expected vectors in the view prefix 4 onto old"),
    "no view": (lambda by: by.pop("view") and by, "expected vectors in the view prefix 4 onto old"),
}


@pytest.mark.parametrize("case", STRANGE)
def test_other_makers_are_refused(skipfill: Skipfill, tmp_path: Path, case: str) -> None:
    change, expected = STRANGE[case]
    objects = store_with(tmp_path, 100)
    made(objects, tmp_path, change)
    before = tree(tmp_path)
    refused = skipfill("gallery", "append", "g", "new.parquet", expect=2).err
    assert expected in refused
    if case == "its own space":
        assert "skipfill encode v2 ITEMS.parquet -o FILE.parquet --onto old" in refused
    assert tree(tmp_path) == before


def test_vectors_of_another_length_are_not_in_the_view(skipfill: Skipfill, tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    path = made(objects, tmp_path)
    table = pq.read_table(path)
    doubled = pa.FixedSizeListArray.from_arrays(pa.array(np.full(20, 2, np.float32)), 4)
    at = table.schema.get_field_index("vector")
    pq.write_table(table.set_column(at, "vector", doubled).replace_schema_metadata(table.schema.metadata), path)
    assert "expected a vector of length 1" in skipfill("gallery", "append", "g", "new.parquet", expect=2).err


def test_lengths_of_two_encoders_are_not_compared(tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    onto_ip = save_model(objects, replace(card("v5"), views={"ip": View(4)}), b"v5", trained_ids())
    told = {"model": "v5", "fingerprint": onto_ip.fingerprint, "space": "ip"}
    new = made(objects, tmp_path, lambda by: by.update(told))
    rows = write_vectors(tmp_path / "ip.parquet", 3 * np.ones((2, 4)), [1, 2])
    add_gallery(objects, "ip", [rows], Columns(), Space("ip", 4, "ip"), None)
    with pytest.raises(BadInput, match="it is searched by inner product"):
        append_rows(objects, "ip", [new])


def test_a_view_is_not_registered_as_if_it_were_the_models_own_space(skipfill: Skipfill, registered: World) -> None:
    skipfill("train", "v2", "--items", registered.items, *SHORT)
    skipfill("encode", "v2", registered.known, "-o", "new.parquet", "--onto", "v1")
    for space in ("v1", "v2"):
        refused = skipfill("gallery", "add", "more", "new.parquet", "--space", space, expect=2).err
        assert "found vectors by v2" in refused or "dimension" in refused
    assert (
        "expected a view onto the gallery's space 'v2'"
        in skipfill("encode", "v1", registered.known, "-o", "x.parquet", "--onto", "v2", expect=2).err
    )
    assert not Path("x.parquet").exists()
