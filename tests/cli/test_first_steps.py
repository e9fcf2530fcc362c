"""Mistakes and questions of a first user, and the messages that lead on."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skipfill.store.models.cards import load_card
from tests.conftest import Skipfill, World, write_vectors
from tests.store.stores import saved_check, store_with, swap

RANDOM = np.random.default_rng(0)


def vectors(dim: int) -> pa.Array:
    return pa.array(RANDOM.normal(size=(20, dim)).astype(np.float32).tolist())


def wrong_and_right() -> None:
    """Items with features of 6 numbers beside the old vectors of 4; and the gallery, whose vectors are those."""
    ids = pa.array([f"r{number}" for number in range(20)])
    pq.write_table(pa.table({"id": ids, "vector": vectors(6), "old": vectors(4)}), "items.parquet")
    pq.write_table(pa.table({"id": ids, "vector": vectors(4)}), "gallery.parquet")


def test_other_columns_of_vectors_are_named(skipfill: Skipfill, tmp_path: Path) -> None:
    skipfill("init")
    wrong_and_right()
    said = skipfill("gallery", "add", "g", "items.parquet", "--space", "tfidf")
    assert "the stored vectors are those of column vector; the files also have vectors in old" in said.err
    assert "skipfill gallery drop g --confirm g, then add it again with --vector COLUMN" in said.err
    assert "if that column has another one, also with another name for --space" in said.err
    assert "note" not in skipfill("gallery", "add", "h", "gallery.parquet", "--space", "other").err
    assert skipfill("gallery", "add", "i", "items.parquet", "--space", "third", "--quiet").err == ""


def test_a_space_keeps_its_dimension(skipfill: Skipfill, tmp_path: Path) -> None:
    skipfill("init")
    wrong_and_right()
    skipfill("gallery", "add", "g", "items.parquet", "--space", "tfidf")
    add = ("gallery", "add", "g", "gallery.parquet", "--space", "tfidf")
    taken = skipfill(*add, expect=2).err
    for command in ("refresh g", "append g FILES", "drop g --confirm g"):
        assert f"skipfill gallery {command}" in taken
    kept = "space tfidf: expected 6 dimensions (registered with gallery g"
    found = "found 4 in gallery.parquet, column vector"
    for change in ("refresh", "append"):
        refused = skipfill("gallery", change, "g", "gallery.parquet", expect=2).err
        assert f"{kept}), {found}" in refused
        assert "skipfill gallery add NAME FILES --space NEW" in refused
    skipfill("gallery", "drop", "g", "--confirm", "g")
    refused = skipfill(*add, expect=2).err
    assert f"{kept}, dropped), {found}" in refused
    assert "choose another name with --space" in refused
    assert skipfill(*add[:-1], "tfidf-4", "--json").document["space"]["dim"] == 4


def test_vectors_to_search_with_say_which_dimension_they_need(skipfill: Skipfill, tmp_path: Path) -> None:
    skipfill("init")
    wrong_and_right()
    skipfill("gallery", "add", "g", "gallery.parquet", "--space", "tfidf")
    write_vectors(tmp_path / "queries.parquet", RANDOM.normal(size=(3, 6)))
    refused = skipfill("search", "g", "--vectors", "queries.parquet", expect=2).err
    assert "expected vectors of dimension 4, found dimension 6" in refused
    refused = skipfill("search", "g", "--vectors", "items.parquet", expect=2).err
    assert "expected vectors of dimension 4, found dimension 6" in refused


def test_a_label_column_that_does_not_exist_is_named(skipfill: Skipfill, registered: World) -> None:
    train = ("train", "v9", "--items", registered.items, "--gallery", "things", "--label", "intent")
    refused = skipfill(*train, expect=2).err
    assert "no column 'intent' in " in refused
    assert "which has columns id, vector, label" in refused


def test_training_says_what_a_check_needs_without_the_old_encoder(skipfill: Skipfill, registered: World) -> None:
    train = ("train", "--items", registered.items, "--gallery", "things", "--epochs", 1)
    assert "--old-vector" not in skipfill(*train, "v2").err
    shutil.rmtree(".skipfill/models/v1")
    more = "check things v3 --items HELDOUT.parquet --gallery-items GALLERY_ITEMS.parquet --old-vector COLUMN"
    assert more in skipfill(*train, "v3").err


def test_messages_name_an_encoder_outside_the_store(skipfill: Skipfill, tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    planned = skipfill("plan", "g", "v2", expect=1).out
    assert "old -> v2" in planned
    assert "not measured" not in planned
    assert "money" not in planned
    assert "money" in skipfill("plan", "g", "v2", "--price-per-million", 2, expect=1).out
    swap(objects, "g", load_card(objects, "v2"), "test")
    skipfill("rollback", "g")
    again = skipfill("rollback", "g", expect=4).err
    assert re.search(r"version 3 by .+ at \d{4}-\d\d-\d\d \d\d:\d\d UTC rolled back to old", again)
    refused = skipfill("search", "g", "--items", "part-0000.parquet", expect=2).err
    assert "found that they use old, an encoder known only by its vectors" in refused
    assert "Give the query vectors by old with --vectors FILE" in refused


def test_commands_say_what_they_did(skipfill: Skipfill, tmp_path: Path) -> None:
    assert skipfill("init").out.startswith("Store ready in")
    again = skipfill("init")
    assert again.out.startswith("The store is already there:")
    assert "skipfill gallery add" in again.err
    assert "skipfill train v1" in again.err
    assert "skipfill guide TOPIC" in skipfill("guide").err


def test_a_report_in_a_file_is_told(skipfill: Skipfill, tmp_path: Path) -> None:
    saved_check(store_with(tmp_path, 100))
    assert skipfill("report", "g", "--junit", "x.xml").err == "Written: x.xml\n"
    assert skipfill("report", "g", "--junit", "x.xml", "--quiet").err == ""
    refused = skipfill("report", "g", "--junit", "out/x.xml", expect=2).err
    assert refused == (
        "error: out/x.xml: expected a file that can be written to, found no folder out. Make the folder first.\n"
    )
