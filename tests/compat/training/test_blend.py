"""Blends: the formula, the weight that queries choose, and old vectors that queries bring."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from skipfill.compat.inference.network import Blend
from skipfill.compat.serving import released
from skipfill.compat.training.blending.weight import best_weight
from skipfill.store.errors import BadInput
from skipfill.store.models.cards import load_card
from skipfill.store.models.files import trained_content
from skipfill.store.parquet.digests.item_digests import content_digests
from skipfill.store.parquet.items import open_items
from skipfill.store.storage.location import open_store
from tests.conftest import Skipfill, World, write_vectors

STORE = Path(".skipfill")


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def vectors_in(path: Path | str, column: str = "vector") -> np.ndarray:
    return np.stack(pq.read_table(path).column(column).to_pylist()).astype(np.float32)


def mixed(new: np.ndarray, old: np.ndarray, weight: float) -> np.ndarray:
    """The formula, by numpy."""
    return unit_rows(weight * unit_rows(new) + (1 - weight) * unit_rows(old))


def test_the_formula_and_what_cancels_out() -> None:
    random = np.random.default_rng(0)
    new, old = random.normal(size=(2, 50, 6))
    for weight in (0.0, 0.3, 1.0):
        found = Blend("old", 6, weight).mixed(torch.from_numpy(new), torch.from_numpy(old), None).numpy()
        np.testing.assert_allclose(found, mixed(new, old, weight), atol=1e-12)
    sure = random.random((50, 1))
    found = Blend("old", 6, None).mixed(torch.from_numpy(new), torch.from_numpy(old), torch.from_numpy(sure)).numpy()
    np.testing.assert_allclose(found, unit_rows(np.sqrt(sure) * unit_rows(new) + unit_rows(old)), atol=1e-12)
    vector = torch.tensor([[0.6, 0.8]])
    torch.testing.assert_close(Blend("old", 2, 0.5).mixed(-vector, vector, None), vector)


def test_the_best_weight() -> None:
    random = np.random.default_rng(1)
    staying = random.random(200)
    better, noise = staying + 0.1, staying + random.normal(0, 0.5, 200)
    noise += 0.01 - (noise - staying).mean()
    alone = np.arange(200)
    assert best_weight({0.0: staying, 0.5: better, 0.7: better, 1.0: noise}, alone) == 0.5
    assert best_weight({0.0: staying, 0.5: noise}, alone) == 0  # less than a standard error above
    assert best_weight({0.0: staying, 0.5: staying - 0.1}, alone) == 0
    assert best_weight({0.0: staying, 0.5: staying}, alone) == 0


def test_copies_of_a_query_choose_as_one() -> None:
    """Six queries gained and four lost, ten copies of each: 60 to 40 would be above one standard error."""
    staying, blended = np.zeros(100), np.repeat([1.0] * 6 + [-1.0] * 4, 10)
    assert best_weight({0.0: staying, 0.5: blended}, np.arange(100)) == 0.5
    assert best_weight({0.0: staying, 0.5: blended}, np.arange(100) // 10) == 0
    assert best_weight({0.0: np.zeros(1), 0.5: np.ones(1)}, np.zeros(1, int)) == 0  # one alone has no error
    assert best_weight({0.0: np.zeros(5), 0.5: np.ones(5)}, np.zeros(5, int)) == 0
    assert best_weight({0.0: np.zeros(2), 0.5: np.array([1.0, 0.0])}, np.arange(2)) == 0  # its error is 0.5 too


@pytest.fixture
def brought(skipfill: Skipfill, with_v2: World) -> Path:
    """Queries that bring the old vectors; the old encoder is gone. A half of them may choose a weight."""
    skipfill("encode", "v1", with_v2.heldout, "-o", "old.parquet")
    skipfill("encode", "v1", with_v2.gallery_items, "-o", "rows.parquet")
    table = pq.read_table(with_v2.heldout)
    table = table.append_column("old", pq.read_table("old.parquet").column("vector"))
    half = np.arange(len(table)) % 2 == 0
    pq.write_table(table.filter(pa.array(half)), "choose.parquet")
    pq.write_table(table.filter(pa.array(~half)), "test.parquet")
    pq.write_table(table, "both.parquet")
    rows = pq.read_table(with_v2.gallery_items).slice(0, 64)
    rows = rows.append_column("old", pq.read_table("rows.parquet").column("vector").slice(0, 64))
    pq.write_table(rows, "some_rows.parquet")
    shutil.rmtree(STORE / "models" / "v1")
    return Path("test.parquet")


def test_queries_choose_the_weight_and_are_no_queries_of_a_check(skipfill: Skipfill, brought: Path) -> None:
    chosen = ["--items", "choose.parquet", "--items", "some_rows.parquet", "--old-vector", "old"]
    document = skipfill("blend", "b", "--new", "v2", "--old", "v1", *chosen, "--metric", "mAP", "--json").document
    grid = {one["weight"]: one["mean"] for one in document["grid"]}
    weight = document["model"]["network"]["blend"]["weight"]
    assert weight == max(grid, key=grid.__getitem__)
    assert document["model"]["recipe"]["old_vectors"] == "brought with the queries"
    objects = open_store(STORE)
    digests = content_digests(open_items([Path("choose.parquet")]))
    assert np.isin(digests, trained_content(objects, load_card(objects, "b")).digests).all()
    report = skipfill(
        *("check", "things", "b", "--items", "both.parquet", "--gallery-items", "some_rows.parquet"),
        *("--old-vector", "old", "--metric", "mAP", "--json"),
        expect=None,
    ).document["check"]
    left_out = next(one for one in report["warnings"] if "was trained on their content" in one)
    assert left_out.startswith(f"{len(digests)} queries left out")


def test_old_vectors_come_with_the_queries_in_check_search_and_serving(skipfill: Skipfill, brought: Path) -> None:
    skipfill("blend", "b", "--new", "v2", "--old", "v1", "--weight", 0.3)
    skipfill("encode", "v2", brought, "--onto", "v1", "-o", "new.parquet")
    expected = mixed(vectors_in("new.parquet"), vectors_in(brought, "old"), 0.3)
    skipfill("encode", "b", brought, "--onto", "v1", "--old-vector", "old", "-o", "blended.parquet")
    np.testing.assert_allclose(vectors_in("blended.parquet"), expected, atol=1e-5)

    stored, rows = unit_rows(vectors_in("gallery.parquet")), pq.read_table("gallery.parquet")
    nearest = (expected @ stored.T).argmax(axis=1)
    rows_too = ["--gallery-items", "some_rows.parquet", "--old-vector", "old"]
    report = skipfill("check", "things", "b", "--items", brought, *rows_too, "--json", expect=None).document["check"]
    cells = {(one["pair"], one["metric"]): one["value"]["mean"] for one in report["slices"][0]["cells"]}
    labels = np.array(rows.column("label").to_pylist())
    right = labels[nearest] == np.array(pq.read_table(brought).column("label").to_pylist())
    assert cells["new/old", "CMC@1"] == pytest.approx(right.mean())
    assert "old/old" in {pair for pair, _ in cells}

    skipfill("swap", "things", "b", "--without-check", "test")
    assert "blend, 8 coordinates" in skipfill("status", "things").out
    found = skipfill("search", "things", "--items", brought, "--old-vector", "old", "-k", 1, "--json").document
    assert [hit["id"] for hit in found["hits"]] == [rows.column("id")[int(row)].as_py() for row in nearest]
    served = released(open_store(STORE), "things")
    vectors = served.encode(vectors_in(brought), vectors_in(brought, "old"))
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    with pytest.raises(BadInput, match="which it blends in, found none"):
        served.encode(vectors_in(brought))
    with pytest.raises(BadInput, match="one per query"):
        served.encode(vectors_in(brought), vectors_in(brought, "old")[:-1])


def test_what_is_wrong_with_old_vectors(skipfill: Skipfill, brought: Path) -> None:
    skipfill("blend", "b", "--new", "v2", "--old", "v1", "--weight", 0.3)
    skipfill("swap", "things", "b", "--without-check", "test")
    search = ["search", "things", "--items", brought]
    refused = skipfill(*search, expect=2).err
    assert "expected the vector of each item by the encoder of v1" in refused
    assert "--old-vector COLUMN" in refused
    assert (
        "dimension 8, which it blends in, found dimension 16"
        in skipfill(*search, "--old-vector", "vector", expect=2).err
    )
    assert "expected vectors of the old encoder" in skipfill(*search, "--old-vector", "label", expect=2).err
    assert "nothing" in skipfill(*search, "--old-vector", "nothing", expect=2).err


@pytest.fixture
def api(skipfill: Skipfill) -> np.ndarray:
    """The old vectors of queries.parquet; gallery `things` releases `b`, a blend with a map and no old encoder."""
    random = np.random.default_rng(0)
    hidden = random.normal(size=(700, 12))
    new, old = (hidden @ random.normal(size=(12, 24)) + 0.5 * random.normal(size=(700, 24)) for _ in range(2))
    write_vectors(Path("gallery.parquet"), old[:600])
    write_vectors(Path("pairs.parquet"), new[:600])
    skipfill("init")
    skipfill("gallery", "add", "things", "gallery.parquet", "--space", "ada")
    skipfill("train", "v2", "--gallery", "things", "--items", "pairs.parquet", "--method", "procrustes")
    skipfill("blend", "b", "--new", "v2", "--old", "ada")
    skipfill("swap", "things", "b", "--without-check", "test")
    queries = pq.read_table(write_vectors(Path("queries.parquet"), new[600:], [f"q{row}" for row in range(100)]))
    for name, values in (("old", old[600:]), ("shuffled", np.roll(old[600:], 1, axis=0)), ("other", new[600:])):
        column = pa.FixedSizeListArray.from_arrays(pa.array(values.astype(np.float32).reshape(-1)), 24)
        queries = queries.append_column(name, column)
    pq.write_table(queries, "queries.parquet")
    pq.write_table(queries.slice(0, 31), "few.parquet")
    return old[600:].astype(np.float32)


@pytest.mark.parametrize("column", ["shuffled", "other"])
def test_old_vectors_of_other_items_or_of_another_space_are_refused(
    skipfill: Skipfill, api: np.ndarray, column: str
) -> None:
    """Of the right dimension: what else could tell? Of a few queries it cannot be told."""
    skipfill("search", "things", "--items", "queries.parquet", "--input", "vector", "--old-vector", "old")
    wrong = ("--input", "vector", "--old-vector", column)
    refused = skipfill("search", "things", "--items", "queries.parquet", *wrong, expect=2).err
    assert "old vectors for model b: expected the vector of each item by the encoder of ada" in refused
    assert "found others: the 100 looked at are no nearer to their own items than to other ones" in refused
    skipfill("search", "things", "--items", "few.parquet", *wrong)
    served, own = released(open_store(STORE), "things"), vectors_in("queries.parquet")
    served.encode(own, api)
    served.encode(np.repeat(own[:1], 100, axis=0), np.repeat(api[1:2], 100, axis=0))  # one query, many times
    with pytest.raises(BadInput, match="no nearer to their own items"):
        served.encode(own, vectors_in("queries.parquet", column))
