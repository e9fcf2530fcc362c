"""Ids: int64 or string, compared as such. Ties in a ranking are broken by the smaller id."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.store.errors import BadInput
from skipfill.store.parquet_files import unreadable


def id_type(kind: pa.DataType, where: object) -> pa.DataType:
    """The type an id column of this type is read as: int64 or string."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pa.string()
    raise BadInput(
        where, expected="ids of an integer or string type", found=str(kind), hint="Name it with --id COLUMN."
    )


def plain(column: pa.Array | pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    """One contiguous array of the plain type `kind`, dictionaries decoded."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    return column if column.type == kind else column.cast(kind)


def refuse_bad_ids(ids: pa.Array | pa.ChunkedArray, where: object) -> None:
    """Raise `BadInput` for NULL or duplicate ids among ids held in memory."""
    if ids.null_count:
        raise BadInput(where, expected="an id in every row", found=f"{ids.null_count} NULL ids")
    if pc.count_distinct(ids).as_py() != len(ids):
        counts = pc.value_counts(ids)
        twice = counts.filter(pc.greater(counts.field("counts"), 1))[0]
        raise BadInput(where, expected="unique ids", found=f"{twice['values']} {twice['counts']} times")


def refuse_bad_ids_in_files(files: list[Path], column: str, scratch: Path) -> None:
    """The same for ids in Parquet files of any size, by DuckDB, which spills to `scratch`."""
    name = '"' + column.replace('"', '""') + '"'
    query = (
        f"SELECT {name}, count(*) AS n, min(filename), max(filename) FROM read_parquet(?, filename=true) "
        f"GROUP BY 1 HAVING n > 1 OR {name} IS NULL ORDER BY {name} NULLS FIRST LIMIT 1"
    )
    try:
        with duckdb.connect(config={"memory_limit": "1GB", "temp_directory": str(scratch)}) as sql:
            found = sql.execute(query, [[str(file) for file in files]]).fetchone()
    except duckdb.Error as error:
        raise unreadable(files[0], error) from error
    if found is None:
        return
    value, count, first, last = found
    where = f"{first}, column {column}" if first == last else f"{first} and {last}, column {column}"
    if value is None:
        raise BadInput(where, expected="an id in every row", found=f"{count} NULL ids")
    raise BadInput(where, expected="unique ids", found=f"{value!r} {count} times")


def to_numpy(ids: pa.Array) -> NDArray[np.int64] | NDArray[np.object_]:
    """Ids as a numpy array that sorts as they do."""
    return np.asarray(ids.to_numpy(zero_copy_only=False))
