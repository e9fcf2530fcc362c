"""Rows from a pipe: an Arrow stream or JSON lines on stdin, in chunks that are held in memory one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO, TypeVar

import pyarrow as pa
import pyarrow.ipc

from skipfill.store.errors import BadInput, reason
from skipfill.store.parquet.formats.arrow import (
    END_OF_STREAM,
    NO_END,
    plain_schema,
    plain_table,
    refuse_same_names,
)
from skipfill.store.parquet.formats.json_lines import beir_items, line_blocks, parsed, settled, without_nulls
from skipfill.store.parquet.formats.recognise import FIRST, form_of, json_array
from skipfill.store.parquet.formats.row_file import UNREADABLE
from skipfill.store.parquet.items import ItemColumns, Items, opened_items
from skipfill.store.storage.address import Address

STDIN = Path("stdin")
"""The name for stdin in messages."""
MOST_BYTES = 64 << 20
"""Most bytes of a chunk, unless one batch that the sender made has more."""
T = TypeVar("T")


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of a stream. It is read as a file is: see `ParquetReader`.

    Attributes:
        table: N rows.
        start: number of the first one in the stream.
    """

    table: pa.Table
    start: int

    @property
    def metadata(self) -> None:
        """No footer."""

    @property
    def schema_arrow(self) -> pa.Schema:
        return self.table.schema

    @property
    def source(self) -> None:
        """No bytes: they were read from a pipe."""

    @property
    def state(self) -> None:
        """No state: nobody else has these rows."""

    @property
    def rows(self) -> range:
        return range(self.start, self.start + len(self.table))

    def iter_batches(
        self, batch_size: int, columns: Sequence[str], *, use_threads: bool = True
    ) -> Iterator[pa.RecordBatch]:
        return iter(self.table.select(list(columns)).to_batches(max_chunksize=batch_size))

    def __call__(self, path: Address) -> Chunk:
        """Open the only file that there is."""
        return self


@dataclass(frozen=True)
class RowStream:
    """Rows that are read once, in order.

    Attributes:
        schema: their columns.
    """

    schema: pa.Schema
    _tables: Iterator[pa.Table]

    @classmethod
    def of(cls, file: BinaryIO) -> RowStream:
        """Begin to read a stream, and recognise its form.

        Raises:
            BadInput: a terminal, nothing at all, or another form.
        """
        if file.isatty():
            raise BadInput(STDIN, expected="a pipe or a file", found="a terminal")
        first = file.read(FIRST)
        form, rest = form_of(first), _Continued(first, file)
        if form == "Arrow stream":
            return _arrow(rest)
        if form == "JSON lines":
            return _json_lines(rest)
        if form == "JSON array":
            raise json_array(STDIN)
        raise BadInput(
            STDIN,
            expected="an Arrow IPC stream or JSON lines",
            found=f"other bytes ({first[:8]!r})" if first else "nothing",
            hint="Give files by their names." if first else "Did the command that writes to this pipe fail?",
        )

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """The rows, at most `rows` at a time, and fewer where they are large; none is empty.

        Raises:
            BadInput: a row that cannot be read, or a stream that was cut off.
        """
        start, held, size, byte_count = 0, list[pa.Table](), 0, 0
        for table in self._tables:
            for part in (table.slice(at, rows) for at in range(0, len(table), rows)):
                if held and (size + len(part) > rows or byte_count + part.nbytes > MOST_BYTES):
                    yield _chunk(held, start)
                    start, held, size, byte_count = start + size, [], 0, 0
                held.append(part)
                size, byte_count = size + len(part), byte_count + part.nbytes
        if held:
            yield _chunk(held, start)
        elif not start:
            raise BadInput(STDIN, expected="at least one row", found="none")

    def items(self, columns: ItemColumns, rows: int) -> Iterator[Items]:
        """The rows as items, chunk by chunk. Ids are compared within a chunk only.

        Raises:
            BadInput: see `chunks` and `opened_items`.
        """
        return (opened_items([STDIN], columns, chunk) for chunk in self.chunks(rows))


def _chunk(tables: list[pa.Table], start: int) -> Chunk:
    return Chunk(pa.concat_tables(tables).combine_chunks(), start)


class _Continued:
    """A stream whose first bytes were read already. It remembers the last bytes that were read."""

    closed = False

    def __init__(self, first: bytes, file: BinaryIO) -> None:
        self._first, self._file, self.last = first, file, b""

    def read(self, size: int, /) -> bytes:
        if self._first:
            data, self._first = self._first[:size], self._first[size:]
            data += self._file.read(size - len(data)) if size > len(data) else b""
        else:
            data = self._file.read(size)
        self.last = (self.last + data[-len(END_OF_STREAM) :])[-len(END_OF_STREAM) :]
        return data

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        """Stdin stays open."""


def _arrow(stream: _Continued) -> RowStream:
    reader, schema = _reading(0, lambda: _begun(stream))

    def tables() -> Iterator[pa.Table]:
        row = 0
        while (table := _reading(row, lambda: _next_table(reader))) is not None:
            row += len(table)
            yield table
        if stream.last != END_OF_STREAM:
            raise _cut_off(row, NO_END)

    return RowStream(schema, tables())


def _begun(stream: _Continued) -> tuple[pyarrow.ipc.RecordBatchStreamReader, pa.Schema]:
    reader = pyarrow.ipc.open_stream(pa.PythonFile(stream, "r"))
    refuse_same_names(reader.schema, STDIN)
    return reader, plain_schema(reader.schema)


def _next_table(reader: pyarrow.ipc.RecordBatchStreamReader) -> pa.Table | None:
    try:
        return plain_table(reader.read_next_batch())
    except StopIteration:
        return None


def _reading(row: int, read: Callable[[], T]) -> T:
    try:
        return read()
    except UNREADABLE as error:
        raise _cut_off(row, reason(error)) from error


def _cut_off(row: int, found: str) -> BadInput:
    return BadInput(
        f"{STDIN}, after row {row - 1}" if row else STDIN,
        expected="a whole Arrow stream",
        found=found,
        hint="Did the command that writes to this pipe fail?",
    )


def _json_lines(stream: _Continued) -> RowStream:
    """The fields are those of the first lines, with their types."""
    blocks = line_blocks(stream, STDIN)
    first = next(blocks)
    schema = without_nulls(settled(parsed(first, None, STDIN, 0).schema))

    def tables() -> Iterator[pa.Table]:
        row = 0
        for data in chain([first], blocks):
            table = parsed(data, schema, STDIN, row)
            row += len(table)
            yield beir_items(table)

    return RowStream(beir_items(schema.empty_table()).schema, tables())
