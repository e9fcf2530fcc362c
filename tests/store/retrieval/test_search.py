"""Exact search against faiss and against the slow obvious way."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skipfill.compat.inference.bfloat16 import Bfloat16
from skipfill.store.parquet.stored_rows import Columns, StoredRows
from skipfill.store.retrieval.search import Hits
from skipfill.store.retrieval.search import search as store_search
from tests.conftest import write_vectors


def opened(path: Path) -> StoredRows:
    return StoredRows.open([path], Columns(), None)


@pytest.fixture(params=[None, Bfloat16()], ids=["float32", "bfloat16"])
def search(request: pytest.FixtureRequest) -> Callable[..., Hits]:
    """A search by float32 products, and by those in bfloat16, however fast this processor makes them."""
    return partial(store_search, rough=request.param)


@pytest.mark.parametrize("queries", [1, 7, 300])
def test_equals_faiss(search: Callable[..., Hits], tmp_path: Path, queries: int) -> None:
    random = np.random.default_rng(queries)
    vectors = random.normal(size=(40_000, 24)).astype(np.float32)
    asked = random.normal(size=(queries, 24)).astype(np.float32)
    index = faiss.IndexFlatIP(24)
    index.add(vectors)
    scores, positions = index.search(asked, 10)
    hits = search(opened(write_vectors(tmp_path / "g.parquet", vectors, np.arange(40_000))), asked, 10, "ip")
    np.testing.assert_allclose(hits.scores, scores, rtol=0, atol=1e-5)
    assert hits.ids.to_numpy().reshape(-1, 10).tolist() == positions.tolist()


@pytest.mark.parametrize("kind", ["strings", "integers"])
@pytest.mark.parametrize("queries", [1, 2, 33])
def test_ties_go_to_the_smaller_id(search: Callable[..., Hits], tmp_path: Path, kind: str, queries: int) -> None:
    """40 distinct vectors, each stored about 1,000 times over three blocks under shuffled ids."""
    random = np.random.default_rng(3)
    distinct = random.normal(size=(40, 19)).astype(np.float32)
    which = random.integers(0, 40, 40_000)
    numbers = random.permutation(40_000)
    ids = numbers.astype(np.int64) if kind == "integers" else np.array([f"x{n}" for n in numbers])
    asked = random.normal(size=(queries, 19)).astype(np.float32)
    hits = search(opened(write_vectors(tmp_path / "g.parquet", distinct[which], ids)), asked, 50, "cosine")
    unit = distinct.astype(np.float64) / np.linalg.norm(distinct, axis=1, keepdims=True)
    order = np.argsort(-(asked.astype(np.float64) @ unit.T), axis=1)
    found = np.array(hits.ids.to_pylist()).reshape(queries, 50)
    for query in range(queries):
        expected = [one for row in order[query] for one in sorted(ids[which == row].tolist())][:50]
        assert found[query].tolist() == expected


def test_the_best_rows_come_last(search: Callable[..., Hits], tmp_path: Path) -> None:
    """Every row of a block is above all before it."""
    random = np.random.default_rng(4)
    vectors = random.normal(size=(50_000, 8)).astype(np.float32)
    asked = vectors[:1] + 0.01 * random.normal(size=(5, 8)).astype(np.float32)
    vectors = vectors[np.argsort(vectors @ asked[0])]
    index = faiss.IndexFlatIP(8)
    index.add(vectors)
    _, positions = index.search(asked, 30)
    hits = search(opened(write_vectors(tmp_path / "g.parquet", vectors, np.arange(50_000))), asked, 30, "ip")
    assert hits.ids.to_numpy().reshape(-1, 30).tolist() == positions.tolist()


def float64_hits(vectors: np.ndarray, asked: np.ndarray, k: int) -> tuple[list[list[int]], np.ndarray]:
    """Hits by the definition: float64 products rounded to float32, ties to the smaller id."""
    scores = (asked.astype(np.float64) @ vectors.T.astype(np.float64)).astype(np.float32)
    numbers = np.arange(len(vectors))
    order = [np.lexsort((numbers, -one))[:k] for one in scores]
    return [one.tolist() for one in order], np.stack([one[of] for one, of in zip(scores, order, strict=True)])


@pytest.mark.parametrize("order", ["drawn", "rising", "falling", "in waves"])
@pytest.mark.parametrize(("rows", "queries", "k"), [(20_011, 600, 3), (16_385, 2, 5_000), (130, 3, 129), (700, 1, 1)])
def test_equals_the_float64_ranking(
    search: Callable[..., Hits], tmp_path: Path, order: str, rows: int, queries: int, k: int
) -> None:
    """More queries than at once, more hits than rows at once, groups and blocks that are not full, negative scores."""
    random = np.random.default_rng(rows)
    vectors = random.normal(size=(rows, 7)).astype(np.float32)
    asked = (vectors[0] + 0.05 * random.normal(size=(queries, 7))).astype(np.float32)
    if order != "drawn":
        vectors = vectors[np.argsort(vectors @ asked[0])]
        vectors = vectors[::-1] if order == "falling" else vectors
    if order == "in waves":
        vectors = vectors.reshape(-1, 7)[np.argsort(np.arange(rows) % 37, kind="stable")]
    hits = search(opened(write_vectors(tmp_path / "g.parquet", vectors, np.arange(rows))), asked, k, "ip")
    ids, scores = float64_hits(vectors, asked, k)
    assert hits.ids.to_numpy().reshape(queries, -1).tolist() == ids
    np.testing.assert_array_equal(hits.scores, scores)


def test_all_scores_are_far_below_zero(search: Callable[..., Hits], tmp_path: Path) -> None:
    vectors = -np.random.default_rng(8).uniform(1, 2, size=(300, 3)).astype(np.float32)
    asked = np.full((2, 3), 2e37, np.float32)
    hits = search(opened(write_vectors(tmp_path / "g.parquet", vectors, np.arange(300))), asked, 250, "ip")
    assert hits.ids.to_numpy().reshape(2, -1).tolist() == float64_hits(vectors, asked, 250)[0]


@pytest.mark.parametrize("size", [1e-20, 1e-4, 1e17])
def test_sizes_of_vectors_do_not_change_hits(search: Callable[..., Hits], tmp_path: Path, size: float) -> None:
    random = np.random.default_rng(6)
    vectors, asked = random.normal(size=(6_000, 9)), random.normal(size=(4, 9))
    scaled = (vectors * size).astype(np.float32)
    queries = (asked * size).astype(np.float32)
    hits = search(opened(write_vectors(tmp_path / "g.parquet", scaled, np.arange(6_000))), queries, 5, "ip")
    scores = (queries.astype(np.float64) @ scaled.T.astype(np.float64)).astype(np.float32)
    expected = [np.lexsort((np.arange(6_000), -one))[:5].tolist() for one in scores]
    assert hits.ids.to_numpy().reshape(-1, 5).tolist() == expected


def test_all_rows_are_equal(search: Callable[..., Hits], tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    vectors = np.repeat(random.normal(size=(1, 33)), 40_000, axis=0)
    ids = random.permutation(40_000)
    asked = random.normal(size=(3, 33)).astype(np.float32)
    hits = search(opened(write_vectors(tmp_path / "g.parquet", vectors, ids)), asked, 20, "cosine")
    assert hits.ids.to_pylist() == list(range(20)) * 3
    assert np.ptp(hits.scores, axis=1).max() == 0


def test_fewer_rows_than_asked_for(search: Callable[..., Hits], tmp_path: Path) -> None:
    hits = search(opened(write_vectors(tmp_path / "g.parquet", np.eye(3))), np.ones((2, 3), np.float32), 10)
    assert hits.scores.shape == (2, 3)
    assert hits.ids.to_pylist() == ["r00000", "r00001", "r00002"] * 2


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float32()),
        pa.large_list(pa.float64()),
        pa.list_(pa.float16(), 4),
        pa.fixed_shape_tensor(pa.float32(), [4]),
    ],
    ids=str,
)
def test_every_vector_type_gives_the_same_hits(search: Callable[..., Hits], tmp_path: Path, kind: pa.DataType) -> None:
    vectors = np.random.default_rng(0).integers(-8, 9, size=(50, 4)).astype(np.float32) + 0.5
    plain = write_vectors(tmp_path / "plain.parquet", vectors)
    storage = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    values = [row.astype(np.float16) if storage.value_type == pa.float16() else row for row in vectors]
    column = pa.array([list(row) for row in values], storage)
    if isinstance(kind, pa.BaseExtensionType):
        column = pa.ExtensionArray.from_storage(kind, column)
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"id": [f"r{i:05d}" for i in range(50)], "vector": column}), other)
    asked = vectors[:5]
    assert search(opened(other), asked, 7).ids.to_pylist() == search(opened(plain), asked, 7).ids.to_pylist()


def test_several_files_and_row_groups_are_one_gallery(search: Callable[..., Hits], tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(100, 5)).astype(np.float32)
    whole = write_vectors(tmp_path / "whole.parquet", vectors)
    table = pq.read_table(whole)
    pq.write_table(table.slice(0, 33), tmp_path / "a.parquet", row_group_size=7)
    pq.write_table(table.slice(33), tmp_path / "b.parquet", row_group_size=50)
    parts = StoredRows.open([tmp_path / "a.parquet", tmp_path / "b.parquet"], Columns(), None)
    asked = random.normal(size=(4, 5)).astype(np.float32)
    one, two = search(opened(whole), asked, 9), search(parts, asked, 9)
    assert one.ids.equals(two.ids)
    assert one.scores.tolist() == two.scores.tolist()


def test_memory_does_not_grow_with_the_file_or_its_row_groups(tmp_path: Path) -> None:
    """77 MB in a single row group: Arrow holds a fraction of it."""
    path = tmp_path / "g.parquet"
    vectors = np.random.default_rng(0).normal(size=(300_000, 64)).astype(np.float32)
    table = pq.read_table(write_vectors(tmp_path / "small.parquet", vectors, np.arange(300_000)))
    pq.write_table(table, path, row_group_size=300_000, use_dictionary=False)
    del table
    rows = opened(path)
    before = pa.total_allocated_bytes()
    peak = max(pa.total_allocated_bytes() - before for _ in rows.blocks())
    assert peak < 40_000_000
