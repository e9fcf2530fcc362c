"""Parts of Parquet files, for tasks that an engine runs: runs of whole blocks, cut where row groups end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from skipfill.store.engine.engine import LOCAL, Engine, Progress
from skipfill.store.parquet import items as item_files
from skipfill.store.parquet import stored_rows
from skipfill.store.parquet.files import ParquetReader
from skipfill.store.parquet.formats.recognise import open_rows
from skipfill.store.parquet.items import Items
from skipfill.store.parquet.pinned import FileState, PinnedFile, changed
from skipfill.store.parquet.stored_rows import OpenFile, StoredRows, opened
from skipfill.store.storage.address import Address, Url

S = TypeVar("S")
R = TypeVar("R")
MOST_ROWS = 2**20
"""Most stored rows of a task, unless a row group has more."""
MOST_ITEMS = 2**13
"""Most items of a task: encoding one item may take a tenth of a second."""


@dataclass(frozen=True)
class FilePart:
    """Some rows of a file, for any machine that can read it. Only their row groups are read.

    Attributes:
        state: the file's state when the command opened it.
        rows: a whole number of blocks, or all rows up to the end; all rows of a file that is not Parquet.
    """

    path: Address
    state: FileState
    rows: range

    def open(self) -> ParquetReader:
        """Open the part.

        Raises:
            FileNotFoundError: there is no such file.
            Stale: it is in another state.
        """
        file = open_rows(self.path)
        if file.metadata is not None:
            file = _PinnedPart(self.path, self.rows)
        if not file.state.is_elsewhere(self.state):
            raise changed(self.path)
        return file


class FileParts:
    """Opens parts of files as if they were whole files; at most one part of each file."""

    def __init__(self, parts: Sequence[FilePart]) -> None:
        self.files = [part.path for part in parts]
        self.rows = sum(len(part.rows) for part in parts)
        self._parts = dict(zip(self.files, parts, strict=True))

    def __call__(self, path: Address) -> ParquetReader:
        return self._parts[path].open()


class _PinnedPart(PinnedFile):
    """An opened file of which some rows are read."""

    def __init__(self, path: Address, rows: range) -> None:
        super().__init__(path)
        self._rows = rows

    @property
    def rows(self) -> range:
        return self._rows

    def iter_batches(
        self, batch_size: int, columns: Sequence[str], *, use_threads: bool = True
    ) -> Iterator[pa.RecordBatch]:
        groups: list[int] = []
        first = row = 0
        for group in range(self.metadata.num_row_groups):
            before, row = row, row + self.metadata.row_group(group).num_rows
            if before < self._rows.stop and row > self._rows.start:
                first = first if groups else before
                groups.append(group)
        reader = self._reader(self.metadata)
        with self._reading():
            batches = reader.iter_batches(batch_size, groups, list(columns), use_threads=use_threads)
            yield from _cut(batches, self._rows.start - first, len(self._rows), batch_size)


def _cut(batches: Iterator[pa.RecordBatch], skipped: int, count: int, size: int) -> Iterator[pa.RecordBatch]:
    """Skip rows, and give the next `count` rows in batches of `size`, as a reader that begins there would."""
    held: pa.RecordBatch | None = None
    for batch in batches:
        passed = min(skipped, batch.num_rows)
        skipped -= passed
        batch = batch.slice(passed, count)
        count -= batch.num_rows
        held = batch if held is None or not held.num_rows else pa.concat_batches([held, batch])
        while held.num_rows >= size:
            yield held.slice(0, size)
            held = held.slice(size)
        if not count:
            break
    if held is not None and held.num_rows:
        yield held


def tasks_of(
    files: Sequence[Address], open_file: OpenFile, rows: int, engine: Engine, block: int, most: int
) -> Iterator[FileParts]:
    """Cut files into tasks for an engine, some for each of its processors.

    Args:
        rows: about how many rows there are.
        block: number of rows in a block; no block is cut.
        most: most rows of a task, unless a row group has more.
    """
    wanted = max(block, min(most, -(-rows // engine.tasks)))
    task: list[FilePart] = []
    size = 0
    for path in files:
        file = opened(open_file, path)
        for part in _runs(file, block, wanted):
            task.append(_part(path, file, part))
            size += len(part)
            if size >= wanted:
                yield FileParts(task)
                task, size = [], 0
    if task:
        yield FileParts(task)


def _part(path: Address, file: ParquetReader, rows: range | None = None) -> FilePart:
    """Some rows of an opened file, or all."""
    return FilePart(path if isinstance(path, Url) else path.absolute(), file.state, rows or file.rows)


def _runs(file: ParquetReader, block: int, wanted: int) -> Iterator[range]:
    """Cut a file where row groups end, or at the block end before: two tasks read a row group that is cut."""
    start = end = 0
    groups = file.metadata.num_row_groups if file.metadata is not None else 1
    for group in range(groups - 1):
        end += file.metadata.row_group(group).num_rows
        whole = end - end % block
        if whole - start >= wanted:
            yield range(start, whole)
            start = whole
    if file.rows.stop > start:
        yield range(start, file.rows.stop)


RunRows = Callable[[StoredRows, S, Progress], R]
RunItems = Callable[[Items, S, Progress], R]


def map_rows(
    run: RunRows[S, R],
    rows: StoredRows,
    shared: S,
    engine: Engine = LOCAL,
    progress: Progress = lambda rows: None,
    most: int = MOST_ROWS,
) -> Iterator[R]:
    """Run a function on stored rows, all at once or part by part; results are in order."""
    if engine.tasks == 1:
        yield run(rows, shared, progress)
        return
    # There may be many ids to keep, so they are shared, not part of each task.
    common = (run, replace(rows, files=[], keep=None, open_file=FileParts([])), rows.keep, shared)
    tasks = tasks_of(rows.files, rows.open_file, rows.count, engine, stored_rows.BLOCK_ROWS, most)
    yield from engine.map(_run_rows, common, tasks, progress)


def _run_rows(common: tuple[RunRows[S, R], StoredRows, Any, S], part: FileParts, progress: Progress) -> R:
    run, rows, keep, shared = common
    return run(replace(rows, files=part.files, count=part.rows, keep=keep, open_file=part), shared, progress)


def map_files(run: RunRows[S, R], rows: StoredRows, of_files: Sequence[S], engine: Engine = LOCAL) -> Iterator[R]:
    """Run a function on all rows of each file, with the value of that file; results are in order."""
    if engine.tasks == 1:
        for path, value in zip(rows.files, of_files, strict=True):
            yield run(replace(rows, files=[path]), value, lambda rows: None)
        return
    files = (opened(rows.open_file, path) for path in rows.files)
    parts = (FileParts([_part(path, file)]) for path, file in zip(rows.files, files, strict=True))
    common = (run, replace(rows, files=[], open_file=FileParts([])))
    yield from engine.map(_run_file, common, zip(parts, of_files, strict=True))


def _run_file(common: tuple[RunRows[S, R], StoredRows], task: tuple[FileParts, S], progress: Progress) -> R:
    (run, rows), (part, value) = common, task
    return run(replace(rows, files=part.files, count=part.rows, open_file=part), value, progress)


def map_items(
    run: RunItems[S, R], items: Items, shared: S, engine: Engine = LOCAL, progress: Progress = lambda items: None
) -> Iterator[R]:
    """Run a function on items, all at once or part by part; results are in order.

    Parts have neither ids nor labels, and may be empty.
    """
    if engine.tasks == 1:
        yield run(items, shared, progress)
        return
    nothing = FileParts([])
    common = (run, replace(items, files=[], ids=items.ids[:0], labels=None, keep=None, open_file=nothing), shared)
    yield from engine.map(_run_items, common, _parts_of_items(items, engine), progress)


def _parts_of_items(items: Items, engine: Engine) -> Iterator[tuple[FileParts, Any]]:
    """Parts of the files, each with a mask of the rows that are items; None for all rows."""
    before = 0
    for part in tasks_of(items.files, items.open_file, len(items), engine, item_files.BLOCK_ROWS, MOST_ITEMS):
        yield part, None if items.keep is None else items.keep[before : before + part.rows]
        before += part.rows


def _run_items(common: tuple[RunItems[S, R], Items, S], task: tuple[FileParts, Any], progress: Progress) -> R:
    (run, items, shared), (part, keep) = common, task
    files = [path for path in part.files if isinstance(path, Path)]  # items are never on object storage
    return run(replace(items, files=files, keep=keep, open_file=part), shared, progress)
