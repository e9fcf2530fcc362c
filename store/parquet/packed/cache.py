"""The cache of packed copies: files of a gallery are copied while they are read, and later read from their copies."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from skipfill.store.errors import reason
from skipfill.store.parquet.files import ParquetReader
from skipfill.store.parquet.packed.copy import NewCopy, PackedCopy, packed
from skipfill.store.parquet.pinned import file_state
from skipfill.store.parquet.stored_rows import BLOCK_ROWS, StoredRows
from skipfill.store.storage.address import Address, Url
from skipfill.store.storage.cache_folder import GALLERIES, cache_folder, made_folder, remove_oldest

FORMAT = 1
MOST_BYTES = 2**37
"""Most bytes of all copies together; the least recently used are removed first."""
SPARE_BYTES = 2**28
"""Room that copies leave on their disk."""
BYTES_BESIDE = 32
"""Approximate number of bytes that the id and the label of a row take."""


@dataclass(frozen=True)
class PackedCache:
    """Use of the cache by one command.

    Attributes:
        note: called with a sentence where copies are made, or cannot be made; with each sentence once.
    """

    note: Callable[[str], None]
    _said: set[str] = field(default_factory=set)

    def say(self, text: str) -> None:
        """Pass a sentence on."""
        if text not in self._said:
            self._said.add(text)
            self.note(text)


class PackedFiles:
    """Copies what the first complete pass over each file reads, and gives it to later passes, also of later commands.

    A copy counts for one state of its file, as `FileState` tells it: a changed file is copied again. Without a copy,
    whatever the reason, rows come from the file itself.

    Attributes:
        rows: the same rows, read through this object.
    """

    def __init__(self, rows: StoredRows, cache: PackedCache) -> None:
        """Read `rows`, which are all rows of their files, through this object."""
        self._all, self._cache = rows, cache
        self._served: set[Address] = set()
        self._folder: Path | None = None
        try:
            self._folder = cache_folder(GALLERIES)
        except RuntimeError as error:
            self._say_without(reason(error))
        self.rows = replace(rows, open_file=self._open)

    def _open(self, path: Address) -> ParquetReader:
        return _PackedFile(self, path, self._all.open_file(path))

    def packed(
        self, path: Address, file: ParquetReader, batch_size: int, columns: Sequence[str]
    ) -> Iterator[pa.RecordBatch] | None:
        """The columns of a file from its copy; None where it has none, or where they are read in other batches."""
        if self._folder is None or batch_size != BLOCK_ROWS or not {*columns} <= {*self._all.columns.names}:
            return None
        with suppress(OSError, ValueError, pa.ArrowException):
            copy = PackedCopy(self._folder / self._name(path), self._state(file), self._all.columns.vector)
            if copy.rows == file.metadata.num_rows:
                self._served.add(path)
                return copy.batches(columns)
        return None

    def to_be_packed(self, batch_size: int, columns: Sequence[str]) -> bool:
        """Tell whether a pass over these columns is to make a copy."""
        everything = tuple(columns) == self._all.columns.names
        return self._folder is not None and batch_size == BLOCK_ROWS and everything

    def packing(
        self, path: Address, file: ParquetReader, batches: Iterator[pa.RecordBatch]
    ) -> Iterator[pa.RecordBatch]:
        """Pass the batches of a file on as its copy holds them, and write the copy."""
        assert self._folder is not None
        row, vector = 0, self._all.columns.vector
        with NewCopy(self._folder / self._name(path), self._state(file), self._say_failed) as copy:
            if not self._has_room(file):
                copy.end()
            for batch in batches:
                block = self._all.block(batch, path, row)
                row += batch.num_rows
                batch = packed(batch, vector, block)
                copy.write(batch)
                yield batch
            # What changed while it was read is a copy of neither state.
            if row == file.metadata.num_rows and file_state(path) == file.state:
                copy.finish()
        remove_oldest(self._folder, MOST_BYTES)

    def discard(self, path: Address) -> bool:
        """Remove the copy of a file if its rows came from there; tell whether they did."""
        if self._folder is None or path not in self._served:
            return False
        with suppress(OSError):
            (self._folder / self._name(path)).unlink()
        return True

    def _has_room(self, file: ParquetReader) -> bool:
        assert self._folder is not None
        row_bytes = 4 * self._all.dim + BYTES_BESIDE
        everything, of_file = row_bytes * self._all.count, row_bytes * file.metadata.num_rows
        if everything > MOST_BYTES:
            self._say_without(f"they take {everything:,} bytes, and the cache may have {MOST_BYTES:,}")
            return False
        try:
            free = shutil.disk_usage(made_folder(self._folder)).free
        except OSError as error:
            self._say_failed(error)
            return False
        if of_file > free - SPARE_BYTES:
            self._say_without(f"{free:,} bytes are free in {self._folder}, and they take {everything:,}")
            return False
        self._cache.say(f"Vectors are copied to {self._folder}, where they take about {everything:,} bytes")
        return True

    def _say_failed(self, error: Exception) -> None:
        self._say_without(f"{self._folder}: {reason(error)}")

    def _say_without(self, why: str) -> None:
        self._cache.say(f"Vectors are read from their files and not copied to the cache: {why}")

    def _name(self, path: Address) -> str:
        """One name for a file and the columns that are read of it: a later state replaces the copy of this one."""
        place = str(path) if isinstance(path, Url) else str(path.resolve())
        return hashlib.sha256(json.dumps([place, self._all.columns.as_dict()]).encode()).hexdigest() + ".arrow"

    def _state(self, file: ParquetReader) -> str:
        return json.dumps([FORMAT, self._all.dim, asdict(file.state)])


class _PackedFile:
    """An opened file that is read from its copy, or copied while it is read."""

    def __init__(self, files: PackedFiles, path: Address, file: ParquetReader) -> None:
        self._files, self._path, self._file = files, path, file
        self.metadata, self.schema_arrow, self.source = file.metadata, file.schema_arrow, file.source
        self.state, self.rows = file.state, file.rows

    def iter_batches(
        self, batch_size: int, columns: Sequence[str], *, use_threads: bool = True
    ) -> Iterator[pa.RecordBatch]:
        copied = self._files.packed(self._path, self._file, batch_size, columns)
        if copied is not None:
            return copied
        batches = self._file.iter_batches(batch_size, columns, use_threads=use_threads)
        wanted = self._files.to_be_packed(batch_size, columns)
        return self._files.packing(self._path, self._file, batches) if wanted else batches
