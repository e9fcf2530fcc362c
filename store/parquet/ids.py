"""Ids: int64 or string, compared as such. Ties in a ranking are broken by the smaller id."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.store.errors import Advice, BadInput, SkipfillError, reason, row_place
from skipfill.store.parquet.files import LONGEST, too_long, unreadable
from skipfill.store.storage.address import Address

BLOCK_ROWS = 65_536
"""Rows that are read at once where only ids are read."""
MOST_FILES = 3
"""Most files that an error names."""


def id_type(kind: pa.DataType, where: object) -> pa.DataType:
    """The type an id column of this type is read as: int64 or string."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pa.string()
    raise BadInput(
        where,
        expected="ids of an integer or string type",
        found=str(kind),
        hint=Advice("name_column", parameter="id"),
    )


def plain(column: pa.Array | pa.ChunkedArray, kind: pa.DataType, where: object) -> pa.Array:
    """One contiguous array of the plain type `kind` (int64 or string), dictionaries decoded.

    Raises:
        BadInput: a value that does not fit, such as a string that is not UTF-8.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    try:
        values = column if column.type == kind else column.cast(kind)
    except pa.ArrowException as error:
        raise BadInput(where, expected=f"values that fit {kind}", found=f"{column.type}: {reason(error)}") from error
    refuse_bad_strings(values, where)
    if pa.types.is_string(kind):
        _refuse_long(values, where)
    return values


def _refuse_long(strings: pa.Array, where: object) -> None:
    lengths = pc.binary_length(strings)
    longest = pc.max(lengths).as_py() or 0
    if longest > LONGEST:
        raise too_long(row_place(where, pc.index(pc.greater(lengths, LONGEST), True).as_py()), f"{longest:,}")


def refuse_bad_strings(column: pa.Array, where: object) -> None:
    """Raise `BadInput` for a string that is not UTF-8. Arrow looks only when it is asked to."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    try:
        column.validate(full=True)
    except pa.ArrowException as error:
        for row, value in enumerate(column.cast(pa.large_binary()).to_pylist()):
            if value is not None and not _is_utf8(value):
                raise BadInput(row_place(where, row), expected="UTF-8", found=repr(value[:40])) from error
        raise BadInput(where, expected="strings", found=reason(error)) from error


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def labels(column: pa.Array | pa.ChunkedArray, where: object) -> pa.Array:
    """(N,) strings with NULLs: a column of labels. NaN is not a label.

    Raises:
        BadInput: a value that is neither a string nor a number.
    """
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_floating(kind):
        numbers = plain(column, kind, where)
        column = pc.if_else(pc.is_nan(numbers), pa.scalar(None, kind), numbers)
    return plain(column, pa.string(), where)


def positions(ids: pa.Array, among: pa.Array) -> NDArray[np.int64]:
    """Return the (N,) positions of N `ids` in `among`; -1 for an id that is not there, or of another type."""
    if ids.type != among.type:
        return np.full(len(ids), -1, np.int64)
    places = pc.fill_null(pc.index_in(ids, value_set=among), -1).to_numpy(zero_copy_only=False)
    as_int64: NDArray[np.int64] = places.astype(np.int64)
    return as_int64


def refuse_bad_ids(ids: Sequence[pa.Array], files: Sequence[Address], column: str) -> None:
    """Raise `BadInput` for NULL or duplicate ids among those of files, held in memory.

    Args:
        ids: of each file, all of one type.
    """
    for path, of_file in zip(files, ids, strict=True):
        if of_file.null_count:
            found = f"{of_file.null_count} NULL ids"
            raise BadInput(f"{path}, column {column}", expected="an id in every row", found=found)
    joined = pa.concat_arrays(ids)
    if pc.count_distinct(joined).as_py() != len(joined):
        counts = pc.value_counts(joined)
        twice = counts.filter(pc.greater(counts.field("counts"), 1))[0]
        by_file = zip(files, ids, strict=True)
        having = [path for path, of_file in by_file if pc.index(of_file, twice["values"]).as_py() >= 0]
        more = [f"{len(having) - MOST_FILES} more"] if len(having) > MOST_FILES else []
        where = " and ".join([*map(str, having[:MOST_FILES]), *more])
        found = f"{twice['values']} {twice['counts']} times"
        hint = Advice("remove_repeated_rows") if len(having) > 1 else ""
        raise BadInput(f"{where}, column {column}", expected="unique ids", found=found, hint=hint)


def refuse_bad_ids_in_files(
    files: Sequence[Address],
    batches_of: Callable[[Address], Iterator[pa.RecordBatch]],
    column: str,
    kind: pa.DataType,
    scratch: Path,
) -> None:
    """Raise `BadInput` for NULL or duplicate ids in files of any size, by DuckDB, which spills to `scratch`."""
    refused: list[SkipfillError] = []

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            for number, path in enumerate(files):
                try:
                    for batch in batches_of(path):
                        ids = plain(batch.column(0), kind, f"{path}, column {column}")
                        of = pa.array(np.full(len(ids), number, np.int32))
                        yield pa.record_batch([ids, of], names=["id", "file"])
                except (OSError, pa.ArrowException) as error:
                    raise unreadable(path, error) from error
        except SkipfillError as error:  # DuckDB would turn it into another error
            refused.append(error)
            raise

    # Our own reader, not DuckDB's: that one takes brackets in a path for a pattern, and `ID` for `id`.
    rows = pa.RecordBatchReader.from_batches(pa.schema([("id", kind), ("file", pa.int32())]), batches())
    query = (
        "SELECT id, count(*) AS n, min(file), max(file) FROM rows "
        "GROUP BY 1 HAVING n > 1 OR id IS NULL ORDER BY id NULLS FIRST LIMIT 1"
    )
    try:
        with duckdb.connect(config={"memory_limit": "1GB", "temp_directory": str(scratch)}) as sql:
            sql.register("rows", rows)
            worst = sql.execute(query).fetchone()
    except duckdb.Error as error:
        raise (refused[0] if refused else unreadable(files[0], error)) from error
    if worst is None:
        return
    value, count, first, last = worst
    names = [str(files[number]) for number in dict.fromkeys((first, last))]
    where = f"{' and '.join(names)}, column {column}"
    if value is None:
        raise BadInput(where, expected="an id in every row", found=f"{count} NULL ids")
    hint = Advice("remove_repeated_rows") if first != last else ""
    raise BadInput(where, expected="unique ids", found=f"{value!r} {count} times", hint=hint)


@dataclass(frozen=True)
class IdSet:
    """A set of ids. An integer never equals a string.

    Attributes:
        parts: arrays of unique ids, each of another type.
    """

    parts: tuple[pa.Array, ...] = ()

    @classmethod
    def of(cls, arrays: Iterable[pa.Array]) -> IdSet:
        """The ids of all arrays; NULL is not an id."""
        by_type: dict[pa.DataType, list[pa.Array]] = {}
        for array in arrays:
            by_type.setdefault(array.type, []).append(array)
        unique = (pc.unique(pa.concat_arrays(same).drop_null()) for same in by_type.values())
        return cls(tuple(sorted((one for one in unique if len(one)), key=lambda one: str(one.type))))

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def holds(self, ids: pa.Array | pa.ChunkedArray) -> NDArray[np.bool_]:
        """(N,) whether the set has each of N ids. Each call hashes the whole set."""
        among = next((part for part in self.parts if part.type == ids.type), pa.array([], ids.type))
        held: NDArray[np.bool_] = pc.is_in(ids, value_set=among).to_numpy(zero_copy_only=False)
        return held


def ranked(ids: pa.Array) -> NDArray[np.int64]:
    """(N,) ranks of the ids in ascending order, from 1; equal ids share a rank."""
    ranks: NDArray[np.int64] = pc.rank(ids, sort_keys="ascending", tiebreaker="dense").to_numpy().astype(np.int64)
    return ranks
