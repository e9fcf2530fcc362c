"""The Parquet files that users own: found, opened and fingerprinted where they lie, never changed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skipfill.store.errors import Advice, BadInput, reason
from skipfill.store.parquet.remote import RemoteFile, matching
from skipfill.store.storage.address import Address, Url, found_at, to_see_instead

LONGEST = 4_096
"""Most bytes of an id or a label. A block has thousands of them, and a small file can repeat a long one without end."""
MOST_CHUNK = 1 << 30  # bytes of one column in one row group
REMOTE_BYTES = 8 << 20  # of one request, which by itself costs the time of a megabyte


def expand(paths: Sequence[Path]) -> list[Path]:
    """Files as given; a folder stands for every `*.parquet` below it, sorted.

    Raises:
        BadInput: a path does not exist, or a folder holds no Parquet file.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            below = sorted(path.rglob("*.parquet"))
            if not below:
                raise BadInput(path, expected="a folder with *.parquet files", found="none")
            files += below
        elif path.exists():
            files.append(path)
        else:
            raise BadInput(path, expected="a Parquet file", found="no such file", hint=to_see_instead(path))
    _refuse_twice(files)
    return files


def expand_addresses(given: Sequence[Address]) -> list[Address]:
    """Expand paths as `expand` does, and URLs on object storage as `matching` does."""
    files: list[Address] = []
    for place in given:
        files += matching(place) if isinstance(place, Url) else expand([place])
    _refuse_twice(files)
    return files


def _refuse_twice(files: Sequence[Address]) -> None:
    twice = {str(file) for file, count in Counter(files).items() if count > 1}
    if twice:
        raise BadInput(min(twice), expected="each file once", found="the same file twice")


def open_parquet(path: Address) -> pq.ParquetFile:
    """Open one Parquet file, reading only its footer.

    Raises:
        BadInput: missing, no file, unreadable, truncated, not Parquet, or with two columns of one name.
    """
    refuse_no_file(path)
    try:
        # Without these, Arrow reads whole column chunks ahead: 1.2 GB for a gallery of 1 GB.
        if isinstance(path, Url):
            file = pq.ParquetFile(RemoteFile(path), pre_buffer=False, buffer_size=REMOTE_BYTES)
        else:
            file = pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:  # the last for a nested name
        raise unreadable(path, error) from error
    refuse_bad_names(path, file)
    return file


def refuse_no_file(path: Address) -> None:
    """Refuse what no reader can read to its end, before it is opened.

    Raises:
        BadInput: a folder; a pipe or a device, which would make its reader wait or read without end; or a name that is
            not UTF-8, which no file of the store can hold.
    """
    if isinstance(path, Url):
        return
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise BadInput(path, expected="a name in UTF-8", found="other bytes") from error
    if (found := found_at(path)) not in ("", "a file"):
        raise BadInput(path, expected="a file", found=found, hint="Write its content to a file first.")


def refuse_bad_names(path: Address, file: pq.ParquetFile) -> None:
    """Raise `BadInput` where two columns share a name, which then names neither, or a name is not UTF-8."""
    try:
        names = file.schema_arrow.names
    except (ValueError, pa.ArrowException) as error:
        raise BadInput(path, expected="a schema with names in UTF-8", found=reason(error)) from error
    for name, count in Counter(names).items():
        if count > 1:
            raise BadInput(path, expected="columns with different names", found=f"{count} columns {name!r}")


def unreadable(path: Address, error: Exception) -> BadInput:
    """The error for a file that cannot be read, whole or in part."""
    size = "an object" if isinstance(path, Url) else f"{path.stat().st_size} bytes" if path.exists() else "no file"
    return BadInput(
        path,
        expected="a readable Parquet file",
        found=f"{size}: {reason(error)}",
        hint="It may be truncated or still being written: copy it again from its source.",
    )


def refuse_other_count(path: Address, file: ParquetReader, read: int) -> None:
    """Raise `BadInput` if a file, or a part of one, ended at row `read`, and not where its footer says."""
    if (claimed := file.rows.stop) != read:
        raise unreadable(path, ValueError(f"{claimed:,} rows according to its footer, {read:,} in the file"))


def encoded_by(path: Address, schema: pa.Schema) -> dict[str, str]:
    """Read from a file's schema metadata which encoder wrote it: `model` and `fingerprint`.

    Empty where it does not say. Also `space` and `view`, where the vectors are in a view onto an earlier space.

    Raises:
        BadInput: the metadata is nested too deep to be read.
    """
    metadata = schema.metadata or {}
    try:
        encoder = json.loads(metadata.get(b"skipfill", b"{}"))
    except ValueError:
        return {}
    except RecursionError as error:
        raise BadInput(
            f"{path}, metadata skipfill", expected="a JSON object", found="thousands of nested values"
        ) from error
    return {key: str(value) for key, value in encoder.items()} if isinstance(encoder, dict) else {}


def column_type(path: Address, file: pq.ParquetFile, column: str, parameter: str) -> pa.DataType:
    """Return the Arrow type of `column`.

    Args:
        parameter: the input that names the column, for the error: `id`, `vector`, `label` or `input`.

    Raises:
        BadInput: the file has no such column; the error lists those it has.
    """
    schema = file.schema_arrow
    if column not in schema.names:
        raise BadInput(
            path,
            expected=f"a column {column!r}",
            found=f"columns {', '.join(schema.names)}",
            hint=Advice("name_column", parameter=parameter),
        )
    return schema.field(column).type


class ParquetReader(Protocol):
    """An opened Parquet file, or a part of one: see `PinnedFile`. Rows in another form have no footer in `metadata`."""

    @property
    def metadata(self) -> pq.FileMetaData: ...

    @property
    def schema_arrow(self) -> pa.Schema: ...

    @property
    def source(self) -> Any: ...

    @property
    def state(self) -> Any: ...

    @property
    def rows(self) -> range: ...

    def iter_batches(
        self, batch_size: int, columns: Sequence[str], *, use_threads: bool = True
    ) -> Iterator[pa.RecordBatch]: ...


def read_ids_and_labels(path: Address, file: ParquetReader, columns: Sequence[str]) -> pa.Table:
    """Read whole columns of ids or labels.

    Raises:
        BadInput: values longer than `LONGEST`, or a file that cannot be read.
    """
    for name in columns:
        refuse_long_values(path, file, name)
    try:
        batches = list(file.iter_batches(2_048, columns))
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from error
    table = pa.Table.from_batches(batches, pa.schema([file.schema_arrow.field(name) for name in columns]))
    refuse_other_count(path, file, file.rows.start + table.num_rows)
    return table


def refuse_long_values(path: Address, file: ParquetReader, column: str) -> None:
    """Look at a column of ids or labels by the footer and its dictionaries, before its values are copied for each row.

    Dictionaries of files on object storage are not looked at: each would be a request.

    Raises:
        BadInput: values longer than `LONGEST`.
    """
    schema: Any = () if file.metadata is None else file.metadata.schema
    number = next((at for at in range(len(schema)) if schema.column(at).path == column), None)
    if number is None or schema.column(number).physical_type != "BYTE_ARRAY":
        return
    row = 0
    for group in range(file.metadata.num_row_groups):
        chunk, rows = file.metadata.row_group(group).column(number), file.metadata.row_group(group).num_rows
        where = f"{path}, column {column}, row {row} and after"
        row += rows
        if chunk.total_uncompressed_size > min(MOST_CHUNK, (rows + 16) * (LONGEST + 16)):
            raise too_long(where, f"{chunk.total_uncompressed_size:,} bytes in {rows:,} rows of a row group")
        in_reach = chunk.has_dictionary_page and not isinstance(path, Url)
        if in_reach and (longest := _longest_of_dictionary(path, file, column, group)) > LONGEST:
            raise too_long(where, f"one of {longest:,}")


def _longest_of_dictionary(path: Address, file: ParquetReader, column: str, group: int) -> int:
    try:
        reader = pq.ParquetFile(
            file.source, metadata=file.metadata, read_dictionary=[column], pre_buffer=False, buffer_size=1 << 16
        )
        first = next(reader.iter_batches(1, row_groups=[group], columns=[column], use_threads=False), None)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from error
    if first is None or not pa.types.is_dictionary(first.column(0).type):
        return 0
    return int(pc.max(pc.binary_length(first.column(0).dictionary)).as_py() or 0)


def too_long(where: object, found: str) -> BadInput:
    """The error for an id or a label that is longer than any may be."""
    return BadInput(where, expected=f"ids and labels of at most {LONGEST:,} bytes", found=found)
