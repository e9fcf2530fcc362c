"""A packed copy of one Parquet file: an Arrow file of its ids, float32 vectors and labels, mapped into memory."""

from __future__ import annotations

import mmap
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from skipfill.store.parquet.stored_rows import Block
from skipfill.store.parquet.vectors import with_lengths
from skipfill.store.storage.cache_folder import made_folder, mark_used
from skipfill.store.storage.unfinished import temporary

STATE = b"skipfill"
"""Key of the schema's metadata that holds the state of the file that was copied."""
BEHIND = 2
"""Blocks that stay in memory behind the one that was given last: one is read ahead, one is worked on."""


class PackedCopy:
    """A complete copy. Nothing of it is read before it is needed, and a block of vectors is a view of the file."""

    def __init__(self, path: Path, state: str, vector: str) -> None:
        """Open the copy of a file.

        Args:
            state: the state of the file.
            vector: the column of vectors.

        Raises:
            OSError, ValueError: there is none, or it is incomplete, or of another state.
        """
        with path.open("rb") as file:
            self._mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._start = pa.py_buffer(self._mapped).address
        reader = pa.ipc.open_file(pa.py_buffer(self._mapped))
        if (reader.schema.metadata or {}).get(STATE) != state.encode():
            raise ValueError(f"{path} is a copy of another state")
        self._batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        for batch in self._batches:
            batch.validate()
        self.rows = sum(batch.num_rows for batch in self._batches)
        self._vector = vector
        mark_used(path)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows, block by block, as they were written."""
        names = list(dict.fromkeys(columns))
        for number, batch in enumerate(self._batches):
            if self._vector in names:
                self._advise("MADV_WILLNEED", number + 1)
            yield batch.select(names)
            self._advise("MADV_DONTNEED", number - BEHIND)

    def _advise(self, advice: str, number: int) -> None:
        """Tell the system whether a block is needed soon, or no longer."""
        if not (hasattr(mmap, advice) and 0 <= number < len(self._batches)):
            return
        buffers = [one for column in self._batches[number].columns for one in column.buffers() if one]
        first = min(one.address for one in buffers) - self._start
        end = max(one.address + one.size for one in buffers) - self._start
        start = first - first % mmap.PAGESIZE
        self._mapped.madvise(getattr(mmap, advice), start, end - start)


class NewCopy:
    """A copy that is being written beside its place. It has its name once it is complete and on the disk.

    A failure ends it, not the work that reads the rows.
    """

    def __init__(self, path: Path, state: str, failed: Callable[[Exception], None]) -> None:
        """Begin a copy.

        Args:
            state: of its file.
            failed: told why a copy cannot be written.
        """
        self._path, self._state, self._failed = path, state, failed
        self._opened = ExitStack()
        self._writer: pa.ipc.RecordBatchFileWriter | None = None
        self._ended = False

    def __enter__(self) -> NewCopy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Remove the unfinished copy, and write nothing more."""
        self._ended = True
        self._opened.close()

    def write(self, batch: pa.RecordBatch) -> None:
        """Add a block."""
        if self._ended:
            return
        try:
            if self._writer is None:
                self._writer = self._begun(batch.schema)
            self._writer.write_batch(batch)
        except (OSError, pa.ArrowException) as error:
            self.end()
            self._failed(error)

    def finish(self) -> None:
        """Give the copy its name."""
        if self._ended or self._writer is None:
            return
        try:
            self._writer.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._staged.replace(self._path)
        except (OSError, pa.ArrowException) as error:
            self._failed(error)

    def _begun(self, schema: pa.Schema) -> pa.ipc.RecordBatchFileWriter:
        folder = made_folder(self._path.parent)
        self._staged = self._opened.enter_context(temporary(folder / f"{self._path.name}#{secrets.randbits(60)}"))
        self._file = self._opened.enter_context(self._staged.open("xb"))
        return pa.ipc.new_file(self._file, schema.with_metadata({STATE: self._state.encode()}))


def packed(batch: pa.RecordBatch, vector: str, block: Block) -> pa.RecordBatch:
    """A batch as copies hold it: the column of vectors as its block has them, verified; the others as they are."""
    columns = {name: batch.column(name) for name in batch.schema.names}
    decoded = {
        name: column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        for name, column in columns.items()
    }
    return pa.record_batch({**decoded, vector: with_lengths(block.vectors, block.lengths)})
