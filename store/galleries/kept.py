"""Keeps small files in memory once they are read, because a check reads a gallery several times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow as pa

from skipfill.store.parquet.files import ParquetReader
from skipfill.store.parquet.stored_rows import BLOCK_ROWS, StoredRows
from skipfill.store.storage.address import Address

MOST_BYTES = 2**28
"""Room for a check: 65,000 vectors of 1,024 numbers, or 500,000 of 128."""


class KeptFiles:
    """Keeps what the first complete pass over each file reads, as long as there is room, and gives it to later ones.

    Attributes:
        rows: the same rows, read through this object.
    """

    def __init__(self, rows: StoredRows, room: int) -> None:
        """Keep files of `rows` in at most `room` bytes, all files together."""
        self._all, self._room = rows, room
        self._kept: dict[Address, list[pa.RecordBatch]] = {}
        self.rows = replace(rows, open_file=self._open)

    def _open(self, path: Address) -> ParquetReader:
        return _KeptFile(self, path, self._all.open_file(path))

    def kept(self, path: Address, batch_size: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch] | None:
        """The columns of a file from memory; None if they are not kept, or kept in other batches."""
        if batch_size != BLOCK_ROWS or path not in self._kept or not {*columns} <= {*self._all.columns.names}:
            return None
        return (batch.select(list(columns)) for batch in self._kept[path])

    def has_room(self, file: ParquetReader, batch_size: int, columns: Sequence[str]) -> bool:
        """Tell whether to keep what a pass over these columns of a file reads."""
        size = file.metadata.num_rows * self._all.dim * 4
        return size <= self._room and batch_size == BLOCK_ROWS and tuple(columns) == self._all.columns.names

    def keeping(self, path: Address, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the batches of a file, and keep them once all have been read, if there is room."""
        kept: list[pa.RecordBatch] = []
        size = 0
        for batch in batches:
            size += batch.nbytes
            if size <= self._room:
                kept.append(batch)
            else:
                kept.clear()
            yield batch
        if size <= self._room and path not in self._kept:
            self._kept[path] = kept
            self._room -= size


class _KeptFile:
    """An opened file that is read from memory after it was read whole."""

    def __init__(self, files: KeptFiles, path: Address, file: ParquetReader) -> None:
        self._files, self._path, self._file = files, path, file
        self.metadata, self.schema_arrow, self.source = file.metadata, file.schema_arrow, file.source
        self.state, self.rows = file.state, file.rows

    def iter_batches(
        self, batch_size: int, columns: Sequence[str], *, use_threads: bool = True
    ) -> Iterator[pa.RecordBatch]:
        kept = self._files.kept(self._path, batch_size, columns)
        if kept is not None:
            return kept
        batches = self._file.iter_batches(batch_size, columns, use_threads=use_threads)
        keeps = self._files.has_room(self._file, batch_size, columns)
        return self._files.keeping(self._path, batches) if keeps else batches
