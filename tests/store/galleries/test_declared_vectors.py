"""Galleries of int8 with a scale and of fixed-size binary values: made by Arrow alone, read as declared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skipfill.store.errors import BadInput
from skipfill.store.galleries.gallery import open_gallery
from skipfill.store.parquet.stored_rows import Columns, StoredRows
from skipfill.store.parquet.vectors import Numbers, matrix
from skipfill.store.storage.location import open_store
from tests.conftest import Skipfill, World, write_vectors

DIM, ROWS, SCALE = 12, 300, 0.0075
TYPES = {"int8": np.int8, "float16": np.float16, "float32": np.float32, "float64": np.float64}
DECLARED = {
    "lists of int8": ("int8", "list"),
    "lists of one size of int8": ("int8", "fixed list"),
    **{f"binary of {name}": (name, "binary") for name in TYPES},
}


def stored_values(kind: str, rows: int = ROWS, seed: int = 0) -> np.ndarray:
    """Numbers as they lie in the file."""
    drawn = np.random.default_rng(seed).normal(size=(rows, DIM))
    if kind == "int8":
        return (127 * drawn / np.abs(drawn).max()).round().astype(np.int8)
    return drawn.astype(TYPES[kind])


def column(values: np.ndarray, container: str) -> pa.Array:
    if container == "binary":
        little = values.astype(values.dtype.newbyteorder("<"))
        return pa.array([row.tobytes() for row in little], pa.binary(DIM * values.dtype.itemsize))
    kind = pa.list_(pa.int8(), DIM) if container == "fixed list" else pa.list_(pa.int8())
    return pa.array(values.tolist(), kind)


def coordinates(values: np.ndarray) -> np.ndarray:
    """Vectors by the definition, in float64."""
    return values.astype(np.float64) * (SCALE if values.dtype == np.int8 else 1)


def written(path: Path, values: np.ndarray, container: str, first: int = 0) -> Path:
    ids = pa.array(range(first, first + len(values)))
    pq.write_table(pa.table({"id": ids, "vector": column(values, container)}), path, row_group_size=70)
    return path


def declaration(kind: str) -> list[Any]:
    return ["--vector-type", kind, *(["--scale", SCALE] if kind == "int8" else [])]


@pytest.mark.parametrize("name", DECLARED)
def test_vectors_are_read_as_declared(name: str, tmp_path: Path) -> None:
    kind, container = DECLARED[name]
    values = stored_values(kind)
    path = written(tmp_path / "g.parquet", values, container)
    numbers = Numbers.declared(kind, SCALE if kind == "int8" else None)
    rows = StoredRows.open([path], Columns(numbers=numbers), None)
    assert rows.dim == DIM
    found = np.concatenate([block.vectors for block in rows.blocks()])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, coordinates(values), rtol=2e-7)
    part = column(values, container).slice(7, 20)
    np.testing.assert_allclose(matrix(part, "here", numbers=numbers), coordinates(values)[7:27], rtol=2e-7)
    kept = rows.restricted(pa.array([3, 70, 299]), 3)
    np.testing.assert_allclose(next(kept.blocks()).vectors, coordinates(values)[[3, 70, 299]], rtol=2e-7)


def test_bad_vectors_are_named_whatever_they_are_stored_as() -> None:
    as_binary = pa.array([np.float32([1, np.nan]).tobytes(), np.float32([0, 0]).tobytes(), None], pa.binary(8))
    numbers = Numbers.declared("float32", None)
    with pytest.raises(BadInput, match="here, row 2: expected a vector, found NULL"):
        matrix(as_binary, "here", numbers=numbers)
    with pytest.raises(BadInput, match="here, row 0: expected finite numbers, found nan"):
        matrix(as_binary.slice(0, 1), "here", numbers=numbers)
    with pytest.raises(BadInput, match="here, row 0: expected a vector that is not all zeros"):
        matrix(as_binary.slice(1, 1), "here", numbers=numbers)
    with pytest.raises(BadInput, match=r"fixed-size binary values of float32, found fixed_size_binary\[6\]"):
        matrix(pa.array([b"123456"], pa.binary(6)), "here", numbers=numbers)
    ragged = pa.array([[1, 2], [3]], pa.list_(pa.int8()))
    with pytest.raises(BadInput, match="expected 2 numbers, as in the other rows, found 1"):
        matrix(ragged, "here", numbers=Numbers.declared("int8", 0.5))


@pytest.mark.parametrize("name", ["lists of int8", "binary of float16", "binary of int8"])
def test_a_declared_gallery_is_searched_and_kept_as_any_other(name: str, skipfill: Skipfill, tmp_path: Path) -> None:
    kind, container = DECLARED[name]
    values, more = stored_values(kind), stored_values(kind, 40, seed=1)
    path = written(tmp_path / "g.parquet", values, container)
    later = written(tmp_path / "more.parquet", more, container, first=ROWS)
    skipfill("init")
    refused = skipfill("gallery", "add", "g", path, "--space", "ada", "--metric", "ip", expect=2).err
    assert "--vector-type TYPE, and --scale N for int8" in " ".join(refused.split())
    skipfill("gallery", "add", "g", path, "--space", "ada", "--metric", "ip", *declaration(kind))
    skipfill("gallery", "append", "g", later)
    skipfill("gallery", "verify", "g", "--deep")
    skipfill("doctor", "--deep")
    assert open_gallery(open_store(Path(".skipfill")), "g").rows.count == ROWS + 40
    assert f"vector_type: {kind}" in skipfill("gallery", "show", "g").out

    queries = np.random.default_rng(2).normal(size=(5, DIM)).astype(np.float32)
    asked = write_vectors(tmp_path / "queries.parquet", queries)
    skipfill("search", "g", "--vectors", asked, "-k", 4, "-o", "hits.parquet")
    scores = queries.astype(np.float64) @ coordinates(np.concatenate([values, more])).T
    hits = pq.read_table("hits.parquet")
    assert hits.column("id").to_pylist() == np.argsort(-scores, kind="stable")[:, :4].reshape(-1).tolist()
    expected = -np.sort(-scores)[:, :4].reshape(-1)
    np.testing.assert_allclose(hits.column("score").to_numpy(), expected, rtol=1e-6)


def test_a_model_is_trained_and_checked_on_int8(skipfill: Skipfill, registered: World) -> None:
    """The same gallery as 8-bit numbers: the old model ranks as on its own vectors, but for their rounding."""
    table = pq.read_table("gallery.parquet")
    vectors = np.array(table.column("vector").to_pylist())
    step = float(np.abs(vectors).max()) / 127
    small = pa.array((vectors / step).round().astype(np.int8).tolist(), pa.list_(pa.int8(), vectors.shape[1]))
    at = table.schema.get_field_index("vector")
    pq.write_table(pa.table(table).replace_schema_metadata().set_column(at, "vector", small), "small.parquet")
    command = ["--vector-type", "int8", "--scale", step]
    skipfill("gallery", "add", "small", "small.parquet", "--space", "v1", *command)
    skipfill("train", "v2", "--gallery", "small", "--items", registered.items, "--epochs", 2)
    old = []
    for gallery in ("things", "small"):
        found = skipfill("check", gallery, "v2", "--items", registered.heldout, "--json", expect=None).document
        cells = found["check"]["slices"][0]["cells"]
        old += [one["value"]["mean"] for one in cells if (one["pair"], one["metric"]) == ("old/old", "mAP")]
    assert old[0] == pytest.approx(old[1], abs=0.01)
    assert old[0] != old[1]


def test_the_log_needs_a_newer_release_only_where_a_type_is_declared(skipfill: Skipfill, tmp_path: Path) -> None:
    skipfill("init")
    write_vectors(tmp_path / "plain.parquet", stored_values("float32"))
    written(tmp_path / "small.parquet", stored_values("int8"), "list")
    skipfill("gallery", "add", "plain", "plain.parquet", "--space", "a")
    skipfill("gallery", "add", "small", "small.parquet", "--space", "b", *declaration("int8"))
    plain, small = (open_gallery(open_store(Path(".skipfill")), name).version for name in ("plain", "small"))
    assert (plain.format, plain.columns) == (1, {"id": "id", "vector": "vector", "label": ""})
    assert (small.format, small.columns["vector_type"], small.columns["scale"]) == (5, "int8", str(SCALE))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--vector-type", "int4"], "--vector-type: expected int8, float16, float32, float64, found 'int4'"),
        (["--vector-type", "int8"], "--scale: expected a positive number that int8 is multiplied by, found none"),
        (["--vector-type", "int8", "--scale", -1], "--scale: expected a positive number"),
        (["--scale", 0.1], "--scale: expected vectors of type int8, found no type of vectors"),
        (["--vector-type", "float32", "--scale", 0.1], "--scale: expected vectors of type int8, found float32"),
    ],
)
def test_a_declaration_without_meaning_is_refused(
    options: list[Any], said: str, skipfill: Skipfill, tmp_path: Path
) -> None:
    skipfill("init")
    written(tmp_path / "g.parquet", stored_values("int8"), "list")
    refused = skipfill("gallery", "add", "g", "g.parquet", "--space", "ada", *options, expect=2).err
    assert said in " ".join(refused.split())
