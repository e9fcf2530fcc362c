"""Work that is cut into tasks gives what it gives in one piece, to the last bit."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skipfill.store.errors import Advice, BadInput, BlockPlace, Parameter, SkipfillError, Stale
from skipfill.store.parquet.digests.content import DigestedFiles
from skipfill.store.parquet.ids import IdSet
from skipfill.store.parquet.items import Items, open_items
from skipfill.store.parquet.matching import stored_vectors
from skipfill.store.parquet.parts import map_items, map_rows, tasks_of
from skipfill.store.parquet.pinned import PinnedFiles
from skipfill.store.parquet.stored_rows import BLOCK_ROWS, Block, Columns, StoredRows
from skipfill.store.retrieval.ranks import RelevantRanks, ranks_of_sets
from skipfill.store.retrieval.relevance import Judgements, SameLabel
from skipfill.store.retrieval.search import search
from tests.store.engine.elsewhere import Elsewhere

DIM = 6
FILES = [(60_000, BLOCK_ROWS), (50_001, 10_000), (7, 7), (40_000, 2_048), (33_000, 100_000)]
"""Rows and rows of a row group: some of these end where blocks end, and some do not."""


def write(path: Path, first: int, rows: int, group: int, dim: int = DIM) -> Path:
    """Vectors of few different coordinates, so that many scores tie."""
    random = np.random.default_rng(first)
    flat = pa.array(random.integers(1, 4, rows * dim).astype(np.float32))
    columns = {
        "id": pa.array(np.arange(first, first + rows)),
        "vector": pa.FixedSizeListArray.from_arrays(flat, dim),
        "label": pa.array([f"class {one}" for one in random.integers(0, 40, rows)]),
    }
    pq.write_table(pa.table(columns), path, row_group_size=group)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("parts")
    return [write(folder / f"{at}.parquet", at * 10**6, *shape) for at, shape in enumerate(FILES)]


@pytest.fixture
def rows(files: list[Path]) -> StoredRows:
    return StoredRows.open(files, Columns(label="label"), None, PinnedFiles())


def blocks_of(rows: StoredRows, shared: None, progress: object) -> list[Block]:
    return list(rows.blocks())


@pytest.mark.parametrize("tasks", [2, 5, 1_000])
def test_parts_have_the_blocks_of_the_whole(rows: StoredRows, tasks: int) -> None:
    engine = Elsewhere(tasks)
    parts = [block for part in map_rows(blocks_of, rows, None, engine) for block in part]
    whole = list(rows.blocks())
    assert engine.run > 1
    assert len(parts) == len(whole)
    for part, one in zip(parts, whole, strict=True):
        assert part.ids.equals(one.ids)
        assert part.labels is not None
        assert part.labels.equals(one.labels)
        np.testing.assert_array_equal(part.vectors, one.vectors)


def test_tasks_end_where_row_groups_end(rows: StoredRows) -> None:
    """Row groups are cut by no task, but where they end within a block."""
    tasks = tasks_of(rows.files, rows.open_file, rows.count, Elsewhere(1_000), BLOCK_ROWS, BLOCK_ROWS)
    parts = [part for task in tasks for part in task.files]
    assert [parts.count(path) for path in rows.files] == [4, 4, 1, 3, 1]


def test_search_of_parts_is_search_of_the_whole(rows: StoredRows) -> None:
    queries = np.random.default_rng(1).integers(1, 4, (30, DIM)).astype(np.float32)
    done: list[int] = []
    whole = search(rows, queries, 25)
    parts = search(rows, queries, 25, progress=done.append, engine=Elsewhere())
    assert parts.ids.equals(whole.ids)
    np.testing.assert_array_equal(parts.scores, whole.scores)
    assert sum(done) == rows.count


def test_more_hits_than_a_task_has_rows(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{at}.parquet", 100 * at, 8, 8) for at in range(5)]
    small = StoredRows.open(files, Columns(), None)
    queries = np.random.default_rng(1).integers(1, 4, (3, DIM)).astype(np.float32)
    whole = search(small, queries, 50)
    assert search(small, queries, 50, engine=Elsewhere(40)).ids.equals(whole.ids)
    assert whole.scores.shape == (3, 40)


def assert_same(one: RelevantRanks, other: RelevantRanks, *, exactly: bool) -> None:
    for of_one, of_other in ((one.ranks, other.ranks), (one.scores, other.scores)):
        for a, b in zip(of_one, of_other, strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(
        one.others if exactly else one.others.sum(axis=1), other.others if exactly else other.others.sum(axis=1)
    )
    np.testing.assert_array_equal(one.edges, other.edges)
    assert (one.grades is None) == (other.grades is None)
    for a, b in zip(one.grades or [], other.grades or [], strict=True):
        np.testing.assert_array_equal(a, b)


def with_normal_vectors(rows: StoredRows, folder: Path) -> StoredRows:
    """The same rows with other vectors, and so many labels that few rows are relevant to a query."""
    random, files = np.random.default_rng(4), []
    for path in rows.files:
        table = pq.read_table(path)
        flat = pa.array(random.normal(size=len(table) * DIM).astype(np.float32))
        column = pa.FixedSizeListArray.from_arrays(flat, DIM)
        files.append(folder / Path(str(path)).name)
        labels = pa.array([f"class {one}" for one in random.integers(0, 4_000, len(table))])
        table = table.set_column(1, "vector", column).set_column(2, "label", labels)
        pq.write_table(table, files[-1], row_group_size=10_000)
    return StoredRows.open(files, rows.columns, None, PinnedFiles())


@pytest.mark.parametrize("similarity", ["cosine", "ip"])
@pytest.mark.parametrize("judged", [False, True], ids=["labels", "judgements"])
@pytest.mark.parametrize("ties", [False, True], ids=["no ties", "many ties"])
def test_ranks_of_parts_are_ranks_of_the_whole(
    rows: StoredRows, tmp_path: Path, judged: bool, similarity: str, ties: bool
) -> None:
    """Ranks are equal in every case. Each task decides by itself when to multiply in float64, so with many ties a
    histogram may count a score at the edge of a bin in the neighbouring bin.
    """
    if not ties:
        rows = with_normal_vectors(rows, tmp_path)
    random = np.random.default_rng(2)
    ids = pa.array(random.permutation(60_000)[:12])
    names = pa.array([f"class {one}" for one in random.integers(0, 40, 12)])
    judgements = Judgements(
        12, np.repeat(np.arange(12), 9), pa.array(random.permutation(60_000)[:108]), np.tile([1, 2, 3], 36).astype("f4")
    )
    truth = judgements if judged else SameLabel(names)
    sets = [random.normal(size=(12, DIM)).astype(np.float32) for _ in range(2)]
    sample = IdSet.of([pa.array(np.arange(0, 60_000, 3))])
    found = [
        ranks_of_sets(rows, ids, truth, sets, similarity, lambda n, done=done: done.append(n), sample, engine)  # type: ignore[arg-type]
        for done in ([],)
        for engine in (Elsewhere(), Elsewhere(1))
    ]
    for parts, whole in zip(*found, strict=True):
        assert_same(parts, whole, exactly=not ties)
        assert parts.of_sample is not None
        assert whole.of_sample is not None
        assert_same(parts.of_sample, whole.of_sample, exactly=not ties)


def test_stored_vectors_are_looked_up_in_parts(rows: StoredRows) -> None:
    ids = pa.array([5, 4_000_000, 3_039_999, 999_999])
    found = stored_vectors(rows, ids, Elsewhere())
    np.testing.assert_array_equal(found, stored_vectors(rows, ids))
    assert found.any(axis=1).tolist() == [True, True, True, False]


@pytest.mark.parametrize("kind", ["", "of the first kind"])
def test_digests_are_those_of_one_process(rows: StoredRows, kind: str) -> None:
    digests = []
    for engine in (Elsewhere(), Elsewhere(1)):
        digested = DigestedFiles(rows, dict.fromkeys(rows.files, kind))
        digested.confirm(engine)
        digests.append(digested.contents)
    assert digests[0] == digests[1]
    assert len(digests[0]) == len(FILES)


def inputs_of(items: Items, shared: None, progress: object) -> list[tuple[list[int], np.ndarray, list[int]]]:
    return [(block.ids.to_pylist(), np.asarray(block.inputs), block.rows.tolist()) for block in items.blocks()]


def test_parts_of_some_items(files: list[Path]) -> None:
    """Of items that are a part of their files, each task gets its own; where it has none, nothing."""
    items = open_items(files)
    chosen = np.random.default_rng(3).random(len(items)) < 0.3
    chosen[20_000:70_000] = False
    items = items.restricted(chosen)
    engine = Elsewhere(1_000)
    parts = [block for part in map_items(inputs_of, items, None, engine) for block in part]
    whole = inputs_of(items, None, None)
    assert engine.run > 10
    assert [(ids, rows) for ids, _, rows in parts] == [(ids, rows) for ids, _, rows in whole]
    assert all(np.array_equal(one[1], other[1]) for one, other in zip(parts, whole, strict=True))


def test_a_file_that_changed_meanwhile_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.parquet", 0, 100, 100)
    rows = StoredRows.open([path], Columns(), None, PinnedFiles())
    write(tmp_path / "rows.parquet", 5, 100, 100)
    os.utime(path, (0, 0))
    with pytest.raises(Stale, match="expected one state of the file"):
        search(rows, np.ones((1, DIM), np.float32), 1, engine=Elsewhere())


def test_a_bad_row_is_named_by_its_place_in_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.parquet", 0, 40_000, BLOCK_ROWS)
    table = pq.read_table(path)
    vectors = np.stack(table["vector"].to_numpy())
    vectors[36_000, 2] = np.nan
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), DIM)
    pq.write_table(table.set_column(1, "vector", column), path, row_group_size=BLOCK_ROWS)
    rows = StoredRows.open([path], Columns(), None)
    for engine in (Elsewhere(), Elsewhere(1)):
        with pytest.raises(BadInput, match=r"rows\.parquet, column vector, row 36000: expected finite numbers"):
            search(rows, np.ones((1, DIM), np.float32), 1, engine=engine)


@pytest.mark.parametrize(
    "error",
    [
        SkipfillError("it is wrong", Advice("show_traceback")),
        Stale("a file: changed"),
        BadInput(Parameter("index", "hnsw"), expected="this", found="that", hint="Do it."),
        BadInput(BlockPlace("a file, column vector", np.arange(3)), expected="this", found="that"),
    ],
    ids=str,
)
def test_errors_come_back_as_they_are(error: SkipfillError) -> None:
    other = pickle.loads(pickle.dumps(error))
    assert type(other) is type(error)
    assert str(other) == str(error)
    assert str(getattr(other, "where", "")) == str(getattr(error, "where", ""))
    assert getattr(other.hint, "key", other.hint) == getattr(error.hint, "key", error.hint)
    assert other.exit_code == error.exit_code
