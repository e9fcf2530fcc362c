"""Digests of the content of Parquet files, taken while their rows stream by for another purpose."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.store.engine.engine import LOCAL, Engine, Progress
from skipfill.store.errors import Stale
from skipfill.store.parquet.files import ParquetReader
from skipfill.store.parquet.parts import map_files
from skipfill.store.parquet.stored_rows import Block, StoredRows
from skipfill.store.storage.address import Address

BY_COLUMN = "v2:"
"""Start of a digest by column. Digests without it are of the first kind."""


class ContentDigest(Protocol):
    """A digest of blocks of rows, one after the other."""

    def update(self, block: Block) -> None: ...

    def result(self) -> str: ...


class ColumnDigest:
    """SHA-256 of the SHA-256s of vectors, ids and labels. It does not depend on how the rows are cut into blocks.

    Vectors are little-endian float32. Integers are little-endian int64. Strings are two streams: their lengths in bytes
    as little-endian int32, -1 for NULL, and their UTF-8.
    """

    def __init__(self) -> None:
        self._streams = {name: hashlib.sha256() for name in ("vectors", "ids", "id bytes", "labels", "label bytes")}

    def update(self, block: Block) -> None:
        self._streams["vectors"].update(np.ascontiguousarray(block.vectors, "<f4").data)
        self._add("ids", "id bytes", block.ids)
        if block.labels is not None:
            self._add("labels", "label bytes", block.labels)

    def _add(self, name: str, of_bytes: str, column: pa.Array) -> None:
        if pa.types.is_integer(column.type):
            self._streams[name].update(np.ascontiguousarray(column.to_numpy(zero_copy_only=False), "<i8").data)
            return
        lengths = pc.fill_null(pc.binary_length(column), -1).to_numpy(zero_copy_only=False)
        self._streams[name].update(np.ascontiguousarray(lengths, "<i4").data)
        self._streams[of_bytes].update(utf8(column).data)

    def result(self) -> str:
        parts = [f"{name} {stream.hexdigest()}" for name, stream in self._streams.items()]
        return BY_COLUMN + hashlib.sha256("\n".join(parts).encode()).hexdigest()


class ListingDigest:
    """The first kind, of old galleries: slow, and dependent on how the rows are cut into blocks."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def update(self, block: Block) -> None:
        self._digest.update(block.vectors.astype("<f4", copy=False).tobytes())
        for column in (block.ids, block.labels):
            self._digest.update(b"" if column is None else json.dumps(column.to_pylist()).encode())

    def result(self) -> str:
        return self._digest.hexdigest()


def content_digest(like: str = "") -> ContentDigest:
    """Make a digest of the kind of `like`; of the newest kind for an empty one."""
    return ListingDigest() if like and not like.startswith(BY_COLUMN) else ColumnDigest()


def utf8(column: pa.Array) -> NDArray[np.uint8]:
    """The bytes of the strings of a column, one after the other."""
    column = pc.fill_null(column, "")
    _, offsets, data = column.buffers()
    if len(column) == 0 or data is None:
        return np.empty(0, np.uint8)
    bounds = np.frombuffer(offsets, np.int32)[[column.offset, column.offset + len(column)]]
    return np.frombuffer(data, np.uint8)[bounds[0] : bounds[1]]


class DigestedFiles:
    """Digests each file of some rows in the first complete pass over it, and compares it with what was registered.

    Attributes:
        rows: the same rows, read through this object.
        contents: the digests of the files that have been read whole.
    """

    def __init__(
        self,
        rows: StoredRows,
        registered: Mapping[Address, str],
        refused: Callable[[Address], Stale] | None = None,
    ) -> None:
        """Read `rows`, which are all rows of their files, through this object.

        Args:
            registered: digest of each file, whose kind is used again; no entry for the newest kind.
            refused: the error for a file with another content than was registered; None to compare nothing.
        """
        self.contents: dict[Address, str] = {}
        self._all = rows
        self._registered = registered
        self._refused = refused
        self.rows = replace(rows, open_file=self._open)

    def confirm(self, engine: Engine = LOCAL) -> None:
        """Digest what has not been read whole, such as a file that no step had to read to its end.

        Args:
            engine: reads these files.

        Raises:
            Stale: another content than was registered.
        """
        missing = [path for path in self._all.files if path not in self.contents]
        rows = replace(self._all, files=missing)
        likes = [self._registered.get(path, "") for path in missing]
        for path, content in zip(missing, map_files(_digested_file, rows, likes, engine), strict=True):
            self._take(path, content)

    def _open(self, path: Address) -> ParquetReader:
        return _DigestedFile(self, path, self._all.open_file(path))

    def wants(self, path: Address, columns: Sequence[str]) -> bool:
        """Tell whether a pass over these columns of a file is to be digested."""
        return path not in self.contents and tuple(columns) == self._all.columns.names

    def digested(self, path: Address, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pass the batches of a file on; take its digest at the end."""
        digest, row = content_digest(self._registered.get(path, "")), 0
        for batch in batches:
            digest.update(self._all.block(batch, path, row))
            row += batch.num_rows
            yield batch
        self._take(path, digest.result())

    def _take(self, path: Address, content: str) -> None:
        if self._refused is not None and self._registered.get(path, content) != content:
            raise self._refused(path)
        self.contents[path] = content


def _digested_file(rows: StoredRows, like: str, progress: Progress) -> str:
    """The digest of rows of one file, of the kind of `like`."""
    digest = content_digest(like)
    for block in rows.file_blocks(rows.files[0]):
        digest.update(block)
    return digest.result()


class _DigestedFile:
    """An opened file whose first complete pass over the digested columns is digested."""

    def __init__(self, files: DigestedFiles, path: Address, file: ParquetReader) -> None:
        self._files, self._path, self._file = files, path, file
        self.metadata, self.schema_arrow, self.source = file.metadata, file.schema_arrow, file.source
        self.state, self.rows = file.state, file.rows

    def iter_batches(
        self, batch_size: int, columns: Sequence[str], *, use_threads: bool = True
    ) -> Iterator[pa.RecordBatch]:
        batches = self._file.iter_batches(batch_size, columns, use_threads=use_threads)
        return self._files.digested(self._path, batches) if self._files.wants(self._path, columns) else batches
