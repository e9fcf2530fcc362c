"""A gallery registered from the wrong file, or with the wrong column, and the way back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.conftest import Skipfill, write_vectors

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
    assert "--vector COLUMN" in said.err
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
