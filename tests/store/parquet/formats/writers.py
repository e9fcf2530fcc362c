"""Rows in the forms that are read beside Parquet."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc


def json_lines(rows: pa.Table, path: Path) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows.to_pylist()))


def arrow_stream(rows: pa.Table, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as file, pyarrow.ipc.new_stream(file, rows.schema) as writer:
        writer.write_table(rows, max_chunksize=700)


def arrow_file(rows: pa.Table, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, rows.schema) as writer:
        writer.write_table(rows, max_chunksize=700)


WRITERS: dict[str, Callable[[pa.Table, Path], None]] = {
    "JSON lines": json_lines,
    "Arrow stream": arrow_stream,
    "Arrow file": arrow_file,
}
