"""Ids and labels have a largest length, which is seen before a small file fills the memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skipfill.store.errors import BadInput
from skipfill.store.parquet.files import LONGEST
from skipfill.store.parquet.items import ItemColumns, open_items
from skipfill.store.parquet.stored_rows import Columns, StoredRows

ROWS = 200_000
MOST_MEMORY = 100 << 20


def written(folder: Path, ids: pa.Array, labels: pa.Array, *, dictionary: bool = True) -> Path:
    vector = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(2 * len(ids), np.float32)), 2)
    table = pa.table({"id": ids, "vector": vector, "label": labels})
    path = folder / "rows.parquet"
    how = {"use_dictionary": dictionary, "write_statistics": False, "dictionary_pagesize_limit": 1 << 30}
    pq.write_table(table, path, compression="zstd", **how)
    return path


def numbered(count: int) -> pa.Array:
    return pa.array(range(count))


def repeated(values: list[str], count: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.arange(count, dtype=np.int32) % len(values)), pa.array(values))


def one_long_among(count: int, length: int) -> pa.Array:
    return pa.array(["a"] * (count - 1) + ["b" * length])


LONG = {
    "a long label in every row": lambda folder: written(folder, numbered(ROWS), repeated(["x" * 1_000_000], ROWS)),
    "many long labels": lambda folder: written(
        folder, numbered(3_000), repeated([f"{row}" + "x" * 1_000_000 for row in range(30)], 3_000)
    ),
    "long ids": lambda folder: written(
        folder, pa.array([f"{row}" + "x" * 500_000 for row in range(100)]), repeated(["a"], 100), dictionary=False
    ),
    "one label that is a byte too long": lambda folder: written(
        folder, numbered(100), one_long_among(100, LONGEST + 1), dictionary=False
    ),
}


READ = {
    "items": lambda path: open_items([path], ItemColumns()),
    "rows": lambda path: list(StoredRows.open([path], Columns(label="label"), None).blocks()),
}


@pytest.fixture
def pool() -> Iterator[pa.MemoryPool]:
    """Memory that Arrow takes in this test."""
    usual = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(pool)
    yield pool
    pa.set_memory_pool(usual)


@pytest.mark.parametrize("case", LONG)
@pytest.mark.parametrize("read", READ)
def test_long_ids_and_labels_are_refused_before_they_are_copied(
    tmp_path: Path, pool: pa.MemoryPool, case: str, read: str
) -> None:
    path, before = LONG[case](tmp_path), pool.max_memory()
    with pytest.raises(BadInput, match=r"rows.parquet, column (id|label), row .*at most 4,096 bytes, found"):
        READ[read](path)
    assert pool.max_memory() - before < MOST_MEMORY


@pytest.mark.parametrize("dictionary", [True, False])
def test_the_longest_is_read(tmp_path: Path, dictionary: bool) -> None:
    path = written(tmp_path, numbered(100), one_long_among(100, LONGEST), dictionary=dictionary)
    (block,) = StoredRows.open([path], Columns(label="label"), None).blocks()
    assert len(str(block.labels[99])) == LONGEST
