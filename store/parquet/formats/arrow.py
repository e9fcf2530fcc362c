"""Arrow IPC: streams, as Hugging Face's `datasets` keeps them and pipes carry them, and files with random access."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.ipc

from skipfill.store.errors import BadInput
from skipfill.store.parquet.formats.row_file import RowFile

PLAIN = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
"""Types of Arrow that other parts of it cannot work with yet, and what they are read as."""

END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
"""The last bytes of a whole stream. Arrow itself takes any end between two batches for the end."""
NO_END = "no end-of-stream mark"


class ArrowStreamFile(RowFile):
    """A file that holds an Arrow IPC stream."""

    kind = "Arrow stream"

    def look(self) -> tuple[pa.Schema, int]:
        with self._opened_reader(None) as reader:
            refuse_same_names(reader.schema, self.path)
            schema, rows = plain_schema(reader.schema), sum(batch.num_rows for batch in self._batches(reader))
        self._refuse_cut_off()
        return schema, rows

    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        numbers = [number for number, name in enumerate(self.schema_arrow.names) if name in columns]
        with self._opened_reader(numbers) as reader:
            for batch in self._batches(reader):
                yield plain_table(batch)

    def _opened_reader(self, numbers: Sequence[int] | None) -> Any:
        """A reader of some columns, all for None, which closes the file."""
        options = pyarrow.ipc.IpcReadOptions(included_fields=numbers)
        return self._reader_of(pa.OSFile(str(self.path)), options)

    def _reader_of(self, file: pa.NativeFile, options: pyarrow.ipc.IpcReadOptions) -> Any:
        return pyarrow.ipc.open_stream(file, options=options)

    def _batches(self, reader: Any) -> Iterator[pa.RecordBatch]:
        return iter(reader)

    def _refuse_cut_off(self) -> None:
        """Raise `BadInput` if the file ends between two batches, as where its writer was killed."""
        with pa.OSFile(str(self.path)) as file:
            file.seek(-min(len(END_OF_STREAM), file.size()), 2)
            if file.read() != END_OF_STREAM:
                raise self.unreadable(ValueError(NO_END))


class ArrowFile(ArrowStreamFile):
    """A file in Arrow's IPC format with random access, also called Feather."""

    kind = "Arrow file"

    def _reader_of(self, file: pa.NativeFile, options: pyarrow.ipc.IpcReadOptions) -> Any:
        return pyarrow.ipc.open_file(file, options=options)

    def _batches(self, reader: Any) -> Iterator[pa.RecordBatch]:
        return (reader.get_batch(number) for number in range(reader.num_record_batches))

    def _refuse_cut_off(self) -> None:
        """Its last bytes lead to its batches, so that a part of it cannot be opened."""


def refuse_same_names(schema: pa.Schema, where: object) -> None:
    """Raise `BadInput` where two columns share a name, which then names neither."""
    for name, count in Counter(schema.names).items():
        if count > 1:
            raise BadInput(where, expected="columns with different names", found=f"{count} columns {name!r}")


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The same columns, with types that all of Arrow can work with."""
    return pa.schema([pa.field(field.name, _plain_type(field.type)) for field in schema], schema.metadata)


def plain_table(batch: pa.RecordBatch) -> pa.Table:
    """The rows of a batch from elsewhere, with types that all of Arrow can work with.

    Raises:
        pa.ArrowException: its buffers do not fit each other. Reading them unseen could end the process.
    """
    batch.validate(full=True)
    return pa.Table.from_arrays([_plain(column) for column in batch.columns], schema=plain_schema(batch.schema))


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _plain_type(kind.value_type), kind.ordered)
    return PLAIN.get(kind, kind)


def _plain(column: pa.Array) -> pa.Array:
    kind = _plain_type(column.type)
    if kind == column.type:
        return column
    if pa.types.is_dictionary(kind):
        values = column.dictionary.cast(kind.value_type)
        return pa.DictionaryArray.from_arrays(column.indices, values, ordered=kind.ordered)
    return column.cast(kind)
