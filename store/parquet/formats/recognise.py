"""The form of a file of rows, by its first bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from skipfill.store.errors import BadInput
from skipfill.store.parquet.files import refuse_no_file
from skipfill.store.parquet.formats.arrow import ArrowFile, ArrowStreamFile
from skipfill.store.parquet.formats.json_lines import JsonLinesFile
from skipfill.store.parquet.formats.row_file import RowFile
from skipfill.store.parquet.pinned import PinnedFile
from skipfill.store.storage.address import Address

Form = Literal["Arrow stream", "Arrow file", "JSON lines", "JSON array", ""]
FIRST = 64
"""Bytes that tell the form. White space may come before an object of JSON, but no more than this."""
FILES: dict[Form, type[RowFile]] = {
    "Arrow stream": ArrowStreamFile,
    "Arrow file": ArrowFile,
    "JSON lines": JsonLinesFile,
}


def form_of(first: bytes) -> Form:
    """The form of rows whose first bytes these are; empty for another one, such as Parquet."""
    if first.startswith(b"\xff\xff\xff\xff"):
        return "Arrow stream"
    if first.startswith(b"ARROW1"):
        return "Arrow file"
    text = first.lstrip()
    if text.startswith(b"{"):
        return "JSON lines"
    return "JSON array" if text.startswith(b"[") else ""


def form_of_file(path: Address) -> Form:
    """The form of the rows in a file. On object storage there is only Parquet.

    Raises:
        FileNotFoundError: there is none.
        BadInput: it cannot be read to its end by anybody: see `refuse_no_file`.
    """
    refuse_no_file(path)
    if not isinstance(path, Path):
        return ""
    try:
        with path.open("rb") as file:
            return form_of(file.read(FIRST))
    except FileNotFoundError:
        raise
    except OSError:
        return ""  # the reader of Parquet says what is wrong


def open_rows(path: Address) -> PinnedFile:
    """Open a file of rows: Parquet, JSON lines, or Arrow.

    Raises:
        FileNotFoundError, BadInput, Stale: see `PinnedFile`.
    """
    form = form_of_file(path)
    if form == "JSON array":
        raise json_array(path)
    return FILES[form](path) if form in FILES else PinnedFile(path)


def json_array(where: object) -> BadInput:
    """The error for one JSON document that holds all rows."""
    return BadInput(
        where,
        expected="JSON lines, an object a row",
        found="one JSON array",
        hint="Write an object a line: jq -c '.[]' FILE.json > FILE.jsonl",
    )
