"""The Parquet files that users own: found, opened and fingerprinted where they lie, never changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from skipfill.store.errors import BadInput, reason


@dataclass(frozen=True)
class FilePrint:
    """What tells one state of a Parquet file from another without reading its rows.

    Attributes:
        path: where it lies, relative to the store's parent folder when below it.
        bytes: file size.
        rows: row count by its footer.
        footer: SHA-256 of the footer (row-group offsets, sizes and statistics).
        content: SHA-256 of the ids, vectors and labels, read when the file was registered; empty where only the
            footer was looked at.
    """

    path: str
    bytes: int
    rows: int
    footer: str
    content: str = ""


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
            raise BadInput(
                path,
                expected="a Parquet file",
                found="no such file",
                hint=f"Look at what is there: ls {path.parent}",
            )
    twice = {str(file) for file in files if files.count(file) > 1}
    if twice:
        raise BadInput(min(twice), expected="each file once", found="the same file twice")
    return files


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open one Parquet file, reading only its footer.

    Raises:
        BadInput: missing, unreadable, truncated, or not Parquet.
    """
    try:
        # Without these, Arrow reads whole column chunks ahead: 1.2 GB for a gallery of 1 GB.
        return pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> BadInput:
    """The error for a file that cannot be read, whole or in part."""
    size = f"{path.stat().st_size} bytes" if path.exists() else "no file"
    return BadInput(
        path,
        expected="a readable Parquet file",
        found=f"{size}: {reason(error)}",
        hint="It may be truncated or still being written: copy it again from its source.",
    )


def refuse_other_count(path: Path, file: pq.ParquetFile, read: int) -> None:
    """Raise `BadInput` when a whole file has given another number of rows than its footer claims."""
    claimed = file.metadata.num_rows
    if claimed != read:
        raise unreadable(path, ValueError(f"{claimed:,} rows by its footer, {read:,} in it"))


def encoded_by(path: Path) -> dict[str, str]:
    """`model` and `fingerprint` of the encoder that wrote the file, by its own metadata; empty when it says nothing."""
    metadata = open_parquet(path).schema_arrow.metadata or {}
    try:
        found = json.loads(metadata.get(b"skipfill", b"{}"))
    except ValueError:
        return {}
    return {key: str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def column_type(path: Path, file: pq.ParquetFile, column: str, flag: str) -> pa.DataType:
    """The Arrow type of `column`.

    Raises:
        BadInput: the file has no such column; the error lists those it has.
    """
    schema = file.schema_arrow
    if column not in schema.names:
        raise BadInput(
            path,
            expected=f"a column {column!r}",
            found=f"columns {', '.join(schema.names)}",
            hint=f"Name it with {flag} COLUMN.",
        )
    return schema.field(column).type


def fingerprint(path: Path, relative_to: Path) -> FilePrint:
    """Size, row count and footer hash of a Parquet file; reads the footer only."""
    file = open_parquet(path)
    size = path.stat().st_size
    with path.open("rb") as handle:
        handle.seek(-8, 2)
        length = int.from_bytes(handle.read(4), "little")
        handle.seek(-8 - length, 2)
        footer = hashlib.sha256(handle.read(length)).hexdigest()
    absolute = path.resolve()
    base = relative_to.resolve()
    shown = absolute.relative_to(base) if absolute.is_relative_to(base) else absolute
    return FilePrint(str(shown), size, file.metadata.num_rows, footer)
