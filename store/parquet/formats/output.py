"""Rows written block by block: to a Parquet file, or to a pipe as an Arrow stream or as JSON lines."""

from __future__ import annotations

import json
from typing import Any, BinaryIO, Literal, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq

RowForm = Literal["parquet", "arrow", "ndjson"]
ROW_GROUP = 16_384


class RowWriter(Protocol):
    """Writes tables of one schema."""

    def write_table(self, table: pa.Table) -> None: ...

    def close(self) -> None:
        """Mark the end."""


class RowOutput:
    """Writes rows into a file or a pipe, in a `with` block. The first table decides the columns.

    After an error in the block, the reader of an Arrow stream finds no end-of-stream mark.
    """

    def __init__(self, file: BinaryIO, form: RowForm) -> None:
        self._file, self._form = file, form
        self._writer: RowWriter | None = None
        self.rows = 0

    def write(self, table: pa.Table) -> None:
        """Write some rows, and let a pipe have them now."""
        if self._writer is None:
            self._writer = WRITERS[self._form](self._file, table.schema)
        self._writer.write_table(table)
        self.rows += len(table)
        if self._form != "parquet":
            self._file.flush()

    def __enter__(self) -> RowOutput:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self._writer is not None and (kind is None or self._form == "parquet"):
            self._writer.close()
        if self._form != "parquet" and kind is None:
            self._file.flush()


class _Parquet:
    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        repeated = [field.name for field in schema if not pa.types.is_nested(field.type)]
        self._writer = pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=repeated)

    def write_table(self, table: pa.Table) -> None:
        self._writer.write_table(table, row_group_size=ROW_GROUP)

    def close(self) -> None:
        self._writer.close()


class _JsonLines:
    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        self._file = file

    def write_table(self, table: pa.Table) -> None:
        names = [json.dumps(name) for name in table.column_names]
        rows = zip(*(_as_json(column.combine_chunks()) for column in table.columns), strict=True)
        lines = ("{" + ", ".join(f"{name}: {value}" for name, value in zip(names, row, strict=True)) for row in rows)
        self._file.write("".join(f"{line}}}\n" for line in lines).encode())

    def close(self) -> None:
        """Nothing marks the end of JSON lines."""


def _as_json(column: pa.Array) -> list[str]:
    """Each value as JSON. A float32 has as many digits as tell it from others, not those of a float64."""
    if pa.types.is_fixed_size_list(column.type):
        numbers, width = _as_json(column.flatten()), column.type.list_size
        return [f"[{', '.join(numbers[at : at + width])}]" for at in range(0, len(numbers), width)]
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        texts: list[str] = pc.fill_null(column.cast(pa.string()), "null").to_pylist()
        return texts
    return [json.dumps(value) for value in column.to_pylist()]


WRITERS: dict[RowForm, Any] = {"parquet": _Parquet, "arrow": pyarrow.ipc.new_stream, "ndjson": _JsonLines}
