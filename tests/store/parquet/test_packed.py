"""Packed copies give the rows of their files, and never those of another state; nothing depends on them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skipfill.store.parquet.packed import cache as packed_cache
from skipfill.store.parquet.packed.cache import PackedCache, PackedFiles
from skipfill.store.parquet.packed.copy import BEHIND
from skipfill.store.parquet.pinned import PinnedFile, PinnedFiles
from skipfill.store.parquet.stored_rows import BLOCK_ROWS, Block, Columns, StoredRows
from skipfill.store.parquet.vectors import Numbers
from skipfill.store.retrieval.search import search
from skipfill.store.storage.address import Address, Url
from skipfill.store.storage.cache_folder import YOUNG
from skipfill.store.storage.client import client
from tests.conftest import write_vectors
from tests.programs.object_storage import Network, network_to
from tests.warm import start

DIM = 6


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the copies."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "skipfill" / "galleries"


class Unread(PinnedFile):
    """An opened file of which no row may be read."""

    def iter_batches(
        self, batch_size: int, columns: Sequence[str], *, use_threads: bool = True
    ) -> Iterator[pa.RecordBatch]:
        raise AssertionError(f"{self.path} is read")


def opened(*files: Address, **columns: Any) -> StoredRows:
    return StoredRows.open(files, Columns(**columns), DIM, PinnedFiles())


def cached(rows: StoredRows, notes: list[str] | None = None) -> StoredRows:
    """The same rows by way of the cache, as a new command reads them."""
    fresh = replace(rows, open_file=PinnedFiles())
    return PackedFiles(fresh, PackedCache([].append if notes is None else notes.append)).rows


def from_copies(rows: StoredRows) -> StoredRows:
    """The same rows from copies alone."""
    return PackedFiles(replace(rows, open_file=Unread), PackedCache([].append)).rows


def assert_same(some: StoredRows, others: StoredRows) -> None:
    """The same blocks, to the bit."""
    for one, other in zip(some.blocks(), others.blocks(), strict=True):
        assert one.ids.equals(other.ids)
        assert one.vectors.dtype == other.vectors.dtype == np.float32
        assert one.vectors.tobytes() == other.vectors.tobytes()
        assert one.lengths.tobytes() == other.lengths.tobytes()
        assert one.labels == other.labels


def vectors_of(rows: StoredRows) -> np.ndarray:
    return np.concatenate([block.vectors for block in rows.blocks()])


def drawn(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)


def columns_of(kind: str) -> tuple[pa.Array, dict[str, Any]]:
    """500 vectors as a column of a kind, and how they are declared."""
    values = drawn(500)
    if kind.startswith("int8"):
        values = (20 * values).clip(-127, 127).round().astype(np.int8)
    if kind == "float16":
        values = values.astype(np.float16)
    if kind.endswith("binary"):
        declared = Numbers.declared(kind.split()[0], 0.25 if kind.startswith("int8") else None)
        return pa.array([row.tobytes() for row in values], pa.binary(values[0].nbytes)), {"numbers": declared}
    if kind == "int8":
        return pa.array(values.tolist(), pa.list_(pa.int8())), {"numbers": Numbers.declared("int8", 0.25)}
    types = {"float16": pa.list_(pa.float16(), DIM), "float64": pa.large_list(pa.float64())}
    return pa.array([list(row) for row in values], types.get(kind, pa.list_(pa.float32(), DIM))), {}


@pytest.mark.parametrize("kind", ["float32", "float16", "float64", "int8", "int8 binary", "float32 binary"])
def test_a_copy_has_the_rows_of_its_file(tmp_path: Path, kind: str) -> None:
    column, declared = columns_of(kind)
    ids = pa.array([f"r{number}" for number in range(500)]).dictionary_encode()
    labels = pa.array([None if number % 5 == 0 else number % 7 for number in range(500)])
    path = tmp_path / "g.parquet"
    pq.write_table(pa.table({"key": ids, "label": labels, "v": column}), path, row_group_size=70)
    rows = opened(path, id="key", vector="v", label="label", **declared)
    assert_same(rows, cached(rows))
    assert_same(rows, from_copies(rows))
    assert_same(rows.without_vectors(), from_copies(rows).without_vectors())
    some = pa.array(["r3", "r77", "r499"])
    assert_same(rows.restricted(some, 3), from_copies(rows).restricted(some, 3))


def test_ids_may_be_the_labels_too(tmp_path: Path) -> None:
    rows = opened(write_vectors(tmp_path / "g.parquet", drawn(50), range(50)), label="id")
    assert_same(rows, cached(rows))
    assert_same(rows, from_copies(rows))


@pytest.mark.parametrize("similarity", ["cosine", "ip"])
def test_a_search_finds_the_same(tmp_path: Path, similarity: Any) -> None:
    """In several files and blocks, whose last ones are not full."""
    count = 2 * BLOCK_ROWS + 77
    vectors = drawn(count) * np.float32(3)
    first, second = (
        write_vectors(tmp_path / f"{name}.parquet", vectors[some], np.arange(count)[some])
        for name, some in (("a", slice(0, BLOCK_ROWS + 5)), ("b", slice(BLOCK_ROWS + 5, None)))
    )
    rows, asked = opened(first, second), drawn(20, seed=1)
    hits = search(rows, asked, 7, similarity)
    for read in (cached(rows), from_copies(rows)):
        again = search(read, asked, 7, similarity)
        assert again.ids.equals(hits.ids)
        assert again.scores.tobytes() == hits.scores.tobytes()


def test_a_block_is_a_view_of_the_mapped_file_and_few_stay_in_memory(tmp_path: Path, folder: Path) -> None:
    blocks = 12
    rows = opened(write_vectors(tmp_path / "g.parquet", drawn(blocks * BLOCK_ROWS), range(blocks * BLOCK_ROWS)))
    for _ in cached(rows).blocks():
        pass
    [copy] = folder.iterdir()
    most = 0
    for block in from_copies(rows).file_blocks(rows.files[0]):
        assert not block.vectors.flags.owndata
        block.vectors.sum()
        most = max(most, resident(copy))
    assert 0 < most <= (BEHIND + 2) * copy.stat().st_size / blocks


def resident(path: Path) -> int:
    """Bytes of a mapped file that are in this process's memory."""
    found = re.search(rf"{re.escape(str(path))}\n(?:\w+:.*\n)*?Rss:\s+(\d+) kB", Path("/proc/self/smaps").read_text())
    assert found is not None
    return int(found[1]) << 10


def test_only_new_and_changed_files_are_copied(tmp_path: Path, folder: Path) -> None:
    first = write_vectors(tmp_path / "a.parquet", drawn(40), range(40))
    vectors_of(cached(opened(first)))
    [copy] = folder.iterdir()
    made = copy.stat().st_ino
    second = write_vectors(tmp_path / "b.parquet", drawn(30, seed=1), range(40, 70))
    rows, notes = opened(first, second), list[str]()
    assert_same(rows, cached(rows, notes))
    assert len(list(folder.iterdir())) == 2
    assert copy.stat().st_ino == made
    assert notes == [f"Vectors are copied to {folder}, where they take about {70 * (4 * DIM + 32):,} bytes"]
    write_vectors(second, drawn(30, seed=2), range(40, 70))
    rows = opened(first, second)
    assert_same(rows, cached(rows))
    assert_same(rows, from_copies(rows))
    assert len(list(folder.iterdir())) == 2
    assert copy.stat().st_ino == made


def test_a_file_rewritten_in_its_place_is_not_read_from_its_copy(tmp_path: Path) -> None:
    """Of the same size and time."""
    path = write_vectors(tmp_path / "g.parquet", drawn(40), range(40))
    before = path.stat()
    vectors_of(cached(opened(path)))
    other = write_vectors(tmp_path / "other.parquet", drawn(40, seed=1), range(40))
    assert other.stat().st_size == before.st_size
    path.write_bytes(other.read_bytes())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    rows = opened(path)
    np.testing.assert_array_equal(vectors_of(cached(rows)), drawn(40, seed=1))
    assert_same(rows, from_copies(rows))


def test_a_file_that_changes_while_it_is_copied_has_no_copy(tmp_path: Path, folder: Path) -> None:
    path = write_vectors(tmp_path / "g.parquet", drawn(2 * BLOCK_ROWS), range(2 * BLOCK_ROWS))
    blocks = cached(opened(path)).file_blocks(path)
    next(blocks)
    os.utime(path)
    assert len(list(blocks)) == 1
    assert list(folder.iterdir()) == []


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 9)


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def without_its_end(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-600] + bytes(600))


def of_another(path: Path) -> None:
    """A complete copy of another file, with as many rows."""
    other = write_vectors(path.parent.parent / "other.parquet", drawn(40, seed=9), range(40))
    kept = path.read_bytes()
    vectors_of(cached(opened(other)))
    [copy] = [one for one in path.parent.iterdir() if one != path]
    copy.replace(path)
    assert path.read_bytes() != kept


@pytest.mark.parametrize("damage", [truncated, half, empty, without_its_end, of_another, Path.unlink])
def test_a_copy_that_is_not_whole_is_made_again(tmp_path: Path, folder: Path, damage: Callable[[Path], None]) -> None:
    rows = opened(write_vectors(tmp_path / "g.parquet", drawn(40), range(40)))
    vectors_of(cached(rows))
    [copy] = folder.iterdir()
    damage(copy)
    assert_same(rows, cached(rows))
    assert_same(rows, from_copies(rows))
    assert list(folder.iterdir()) == [copy]


def test_an_unfinished_pass_leaves_nothing(tmp_path: Path, folder: Path) -> None:
    path = write_vectors(tmp_path / "g.parquet", drawn(2 * BLOCK_ROWS), range(2 * BLOCK_ROWS))
    with closing(cached(opened(path)).file_blocks(path)) as blocks:
        next(blocks)
        assert len(list(folder.iterdir())) == 1
    assert list(folder.iterdir()) == []


COPY = """
import sys
from pathlib import Path
from skipfill.store.parquet.packed.cache import PackedCache, PackedFiles
from skipfill.store.parquet.pinned import PinnedFiles
from skipfill.store.parquet.stored_rows import Columns, StoredRows
path = Path(sys.argv[1])
rows = StoredRows.open([path], Columns(), None, PinnedFiles())
blocks = PackedFiles(rows, PackedCache(print)).rows.file_blocks(path)
next(blocks)
Path(sys.argv[2]).read_text()
for _ in blocks: pass
"""


def test_a_killed_writer_leaves_nothing_wrong(tmp_path: Path, folder: Path) -> None:
    path = write_vectors(tmp_path / "g.parquet", drawn(2 * BLOCK_ROWS), range(2 * BLOCK_ROWS))
    os.mkfifo(tmp_path / "never")
    writer = start(COPY, [str(path), str(tmp_path / "never")], cwd=tmp_path)
    while not (folder.exists() and any(one.stat().st_size for one in folder.iterdir())):
        assert writer.poll() is None, writer.communicate()
        time.sleep(0.01)
    writer.kill()
    writer.communicate()
    [left] = folder.iterdir()
    rows = opened(path)
    assert_same(rows, cached(rows))
    assert_same(rows, from_copies(rows))
    assert len(list(folder.iterdir())) == 2  # its writer may still run
    os.utime(left, (time.time() - YOUNG - 1,) * 2)
    os.utime(path)
    vectors_of(cached(opened(path)))
    assert len(list(folder.iterdir())) == 1


def test_two_writers_at_once(tmp_path: Path, folder: Path) -> None:
    path = write_vectors(tmp_path / "g.parquet", drawn(2 * BLOCK_ROWS), range(2 * BLOCK_ROWS))
    rows = opened(path)
    one, other = (cached(rows).file_blocks(path) for _ in range(2))
    next(one)
    next(other)
    assert len(list(folder.iterdir())) == 2
    assert len([*one, *other]) == 2
    assert len(list(folder.iterdir())) == 1
    assert_same(rows, from_copies(rows))


def test_a_folder_that_cannot_be_made(tmp_path: Path, folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("a file where the folder should be")
    rows, notes = opened(write_vectors(tmp_path / "g.parquet", drawn(40), range(40))), list[str]()
    assert_same(rows, cached(rows, notes))
    assert notes == [f"Vectors are read from their files and not copied to the cache: {folder}: File exists"]


FULL = (
    """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
"""
    + COPY
)


def test_a_full_disk(tmp_path: Path, folder: Path) -> None:
    """The system refuses to write more after the first 100,000 bytes."""
    path = write_vectors(tmp_path / "g.parquet", drawn(2 * BLOCK_ROWS), range(2 * BLOCK_ROWS))
    writer = start(FULL, [str(path), os.devnull], cwd=tmp_path)
    said, wrong = writer.communicate(timeout=60)
    assert writer.returncode == 0, wrong
    assert f"not copied to the cache: {folder}: File too large" in said
    assert list(folder.iterdir()) == []


def test_copies_are_bounded(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [write_vectors(tmp_path / f"{name}.parquet", drawn(400), range(400)) for name in "abc"]
    vectors_of(cached(opened(files[0])))
    [copy] = folder.iterdir()
    monkeypatch.setattr(packed_cache, "MOST_BYTES", 2 * copy.stat().st_size + 100)
    os.utime(copy, (1, 1))
    for path in files[1:]:
        vectors_of(cached(opened(path)))
    assert len(list(folder.iterdir())) == 2
    assert not copy.exists()
    monkeypatch.setattr(packed_cache, "MOST_BYTES", copy_size := 400 * (4 * DIM + 32) - 1)
    rows, notes = opened(files[0]), list[str]()
    assert_same(rows, cached(rows, notes))
    [note] = notes
    assert note.endswith(f"they take {copy_size + 1:,} bytes, and the cache may have {copy_size:,}")


@pytest.fixture
def network(server: str, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    with network_to(server) as network:
        monkeypatch.setenv("AWS_ENDPOINT_URL", network.url)
        yield network


def test_object_storage_is_read_once(tmp_path: Path, network: Network, url: str) -> None:
    bucket = Url(url.removesuffix("/team/store"))
    path, count = bucket / "rows.parquet", 30_000
    local = write_vectors(tmp_path / "g.parquet", drawn(count), range(count))
    obstore.put(client(bucket), "rows.parquet", local)
    rows = opened(path)
    assert_same(rows, cached(rows))
    network.bytes = 0
    np.testing.assert_array_equal(vectors_of(cached(opened(path))), drawn(count))
    assert network.bytes < local.stat().st_size / 3  # the footer
    obstore.put(client(bucket), "rows.parquet", write_vectors(local, drawn(count, seed=1), range(count)))
    np.testing.assert_array_equal(vectors_of(cached(opened(path))), drawn(count, seed=1))


def test_memory_does_not_grow_with_the_file_while_it_is_copied(tmp_path: Path) -> None:
    """In a single row group, as in the test of search."""
    count = 20 * BLOCK_ROWS
    table = pq.read_table(write_vectors(tmp_path / "small.parquet", drawn(count), np.arange(count)))
    pq.write_table(table, tmp_path / "g.parquet", row_group_size=count, use_dictionary=False)
    del table
    rows = cached(opened(tmp_path / "g.parquet"))
    before = pa.total_allocated_bytes()
    peak = max(pa.total_allocated_bytes() - before for _ in rows.blocks())
    assert peak < count * DIM * 4


def test_blocks_stay_readable_when_the_copy_is_deleted(tmp_path: Path, folder: Path) -> None:
    rows = opened(write_vectors(tmp_path / "g.parquet", drawn(3 * BLOCK_ROWS), range(3 * BLOCK_ROWS)))
    vectors_of(cached(rows))
    blocks: list[Block] = []
    for block in from_copies(rows).file_blocks(rows.files[0]):
        blocks.append(block)
        for path in folder.iterdir():
            path.unlink()
    assert np.concatenate([block.vectors for block in blocks]).tobytes() == vectors_of(rows).tobytes()
