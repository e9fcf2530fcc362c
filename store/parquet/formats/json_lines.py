"""JSON lines (NDJSON): an object for each row, parsed in blocks by Arrow."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from skipfill.store.errors import BadInput, reason, row_place
from skipfill.store.parquet.formats.row_file import RowFile

BLOCK_BYTES = 1 << 20
LONGEST_LINE = 64 << 20
MOST_FIELDS = 10_000
NUMBERS = pa.list_(pa.float32())
_ROW = re.compile(r" in row (\d+)$")
_PREFIX = re.compile(r"^(JSON parse error: |Column \d+: In chunk \d+: Invalid: )")


class JsonLinesFile(RowFile):
    """A file of JSON lines. Its columns are the fields of all its objects."""

    kind = "file of JSON lines"

    @property
    def schema_arrow(self) -> pa.Schema:
        return beir_items(super().schema_arrow.empty_table()).schema

    def look(self) -> tuple[pa.Schema, int]:
        schema, rows = pa.schema([]), 0
        for data in self._blocks():
            table = parsed(data, None, self.path, rows)
            try:
                schema = pa.unify_schemas([schema, settled(table.schema)], promote_options="permissive")
            except pa.ArrowException as error:
                parsed(data, without_nulls(schema), self.path, rows)  # its error names the row
                where = row_place(self.path, rows)
                raise BadInput(where, expected="fields of one type each", found=reason(error)) from error
            rows += table.num_rows
            if len(schema) > MOST_FIELDS:
                raise BadInput(self.path, expected=f"at most {MOST_FIELDS:,} fields", found=f"{len(schema):,}")
        return without_nulls(schema), rows

    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        schema, row = super().schema_arrow, 0
        names = {"id", "_id", "title", *columns}
        wanted = pa.schema([field for field in schema if field.name in names])
        for data in self._blocks():
            table = parsed(data, wanted, self.path, row)
            row += table.num_rows
            yield beir_items(table)

    def _blocks(self) -> Iterator[bytes]:
        assert isinstance(self.path, Path)
        with self.path.open("rb") as file:
            yield from line_blocks(file, self.path)


class Readable(Protocol):
    """An opened file or pipe."""

    def read(self, size: int, /) -> bytes: ...


def line_blocks(file: Readable, where: object) -> Iterator[bytes]:
    """Whole lines, about a mebibyte at a time.

    Raises:
        BadInput: a line without end.
    """
    rest = b""
    while data := file.read(BLOCK_BYTES):
        whole, newline, rest = (rest + data).rpartition(b"\n")
        if len(rest) > LONGEST_LINE:
            raise BadInput(where, expected=f"lines of at most {LONGEST_LINE >> 20} MiB", found="a longer one")
        if newline and whole.strip():
            yield whole + newline
    if rest.strip():
        yield rest


def parsed(data: bytes, schema: pa.Schema | None, where: object, first_row: int) -> pa.Table:
    """Parse some lines.

    Args:
        schema: fields to read, all others are left out; None for all, with the types that they seem to have.
        first_row: number of the first of these rows, for messages.

    Raises:
        BadInput: naming the row that is not an object, has a value of another type, or a text that is not UTF-8.
    """
    options = pyarrow.json.ParseOptions(
        explicit_schema=schema, unexpected_field_behavior="infer" if schema is None else "ignore"
    )
    whole = pyarrow.json.ReadOptions(use_threads=False, block_size=len(data) + 1)
    try:
        table = pyarrow.json.read_json(io.BytesIO(data), whole, options)
        table.validate(full=True)  # that texts are UTF-8
        names = table.column_names
    except (pa.ArrowException, UnicodeDecodeError) as error:
        named = _ROW.search(str(error))
        lines = [line for line in data.split(b"\n") if line.strip()]
        if named is None and len(lines) > 1:
            for row, line in enumerate(lines):
                parsed(line, schema, where, first_row + row)
        types = ", with the types of the rows before" if schema is not None or named is not None else ""
        raise BadInput(
            row_place(where, first_row + (int(named[1]) if named else 0)),
            expected=f"a JSON object{types}",
            found=_PREFIX.sub("", _ROW.sub("", reason(error))),
        ) from error
    if len(names) > MOST_FIELDS:
        raise BadInput(where, expected=f"objects of at most {MOST_FIELDS:,} fields", found=f"{len(names):,}")
    return table


def settled(schema: pa.Schema) -> pa.Schema:
    """The fields that can be columns, with the types in which they are read.

    These are texts, numbers, true and false, and lists of numbers or texts. Lists of numbers are vectors of float32.
    What only looks like a time is a text.
    """
    fields = [pa.field(field.name, kind) for field in schema if (kind := _settled(field.type)) is not None]
    return pa.schema(fields)


def _settled(kind: pa.DataType) -> pa.DataType | None:
    if pa.types.is_temporal(kind):
        return pa.string()
    if pa.types.is_list(kind):
        inner = kind.value_type
        if pa.types.is_integer(inner) or pa.types.is_floating(inner) or pa.types.is_null(inner):
            return NUMBERS
        return pa.list_(pa.string()) if pa.types.is_string(inner) or pa.types.is_temporal(inner) else None
    return None if pa.types.is_nested(kind) else kind


def without_nulls(schema: pa.Schema) -> pa.Schema:
    """The same fields; those that have never had a value are texts."""
    return pa.schema([pa.field(one.name, pa.string() if pa.types.is_null(one.type) else one.type) for one in schema])


def beir_items(table: pa.Table) -> pa.Table:
    """Rows of BEIR's and MTEB's `corpus.jsonl` or `queries.jsonl` as items; other rows as they are.

    `_id` is the id. The text of a document is its title and its text with a space between, as BEIR's own models get it.
    """
    names = table.column_names
    if "_id" not in names or "id" in names:
        return table
    table = table.rename_columns(["id" if name == "_id" else name for name in names])
    if any(name not in names or table.schema.field(name).type != pa.string() for name in ("title", "text")):
        return table
    title, text = table.column("title"), table.column("text")
    joined = pc.binary_join_element_wise(title, text, " ", null_handling="replace", null_replacement="")
    return table.set_column(names.index("text"), "text", pc.utf8_trim_whitespace(joined))
