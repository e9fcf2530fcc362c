"""Rows of vectors streamed from Parquet in blocks of bounded size, in file order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.store.errors import Advice, BadInput, BlockPlace
from skipfill.store.parquet import ids
from skipfill.store.parquet.files import ParquetReader, column_type, refuse_long_values, refuse_other_count, unreadable
from skipfill.store.parquet.pinned import PinnedFile
from skipfill.store.parquet.vectors import FLOATS, Lengths, Matrix, Numbers, matrix, may_be_declared, measured_vectors
from skipfill.store.storage.address import Address

BLOCK_ROWS = 16_384
"""Most rows of a block."""
VECTOR_TYPE, SCALE = "vector_type", "scale"
T = TypeVar("T")


@dataclass(frozen=True)
class Columns:
    """Names of the columns of ids, vectors and labels.

    Attributes:
        vector: empty where vectors are not read.
        label: empty where there are no labels, or they are not read.
        numbers: how the vectors are read.
    """

    id: str = "id"
    vector: str = "vector"
    label: str = ""
    numbers: Numbers = FLOATS

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are read, in this order."""
        return tuple(name for name in (self.id, self.vector, self.label) if name)

    def as_dict(self) -> dict[str, str]:
        """The columns as the log of a gallery has them. Where nothing is declared, the log says nothing about it."""
        names = {"id": self.id, "vector": self.vector, "label": self.label}
        if self.numbers.type:
            names[VECTOR_TYPE] = self.numbers.type
        return {**names, SCALE: repr(self.numbers.scale)} if self.numbers.type == "int8" else names


@dataclass(frozen=True)
class Block:
    """Consecutive rows.

    Attributes:
        ids: (N,) int64 or string.
        vectors: (N, D) float32, as stored (not normalised by us). D is 0 where vectors are not read.
        lengths: (N,) L2 norms of the vectors: see `Lengths`.
        labels: (N,) string, NULL where a row has none; None when there is no label column.
    """

    ids: pa.Array
    vectors: Matrix
    lengths: Lengths
    labels: pa.Array | None

    def filter(self, chosen: NDArray[np.bool_]) -> Block:
        """Some of the rows, (N,) bool."""
        mask = pa.array(chosen)
        labels = None if self.labels is None else self.labels.filter(mask)
        return Block(self.ids.filter(mask), self.vectors[chosen], self.lengths[chosen], labels)


OpenFile = Callable[[Address], ParquetReader]
"""Opens one of the files. `PinnedFile` opens it afresh for each pass; `PinnedFiles` keeps it open."""


@dataclass(frozen=True)
class StoredRows:
    """Parquet files of vectors, opened and with their columns checked; `blocks` streams them.

    Attributes:
        dim: D, from the first row (variable lists) or the type (fixed-size lists).
        count: number of rows, only those in `keep` if that is given.
        keep: only rows with these ids; None for all.
        open_file: opens a file for a pass.
    """

    files: Sequence[Address]
    columns: Columns
    dim: int
    count: int
    id_kind: pa.DataType
    keep: pa.Array | None = None
    open_file: OpenFile = PinnedFile

    @classmethod
    def open(
        cls, files: Sequence[Address], columns: Columns, dim: int | None, open_file: OpenFile = PinnedFile
    ) -> StoredRows:
        """Check columns and types of every file by its footer.

        Raises:
            BadInput: a file is unreadable, lacks a column, has another type, or there are no rows.
        """
        count = 0
        kinds: set[pa.DataType] = set()
        for path in files:
            file = opened(open_file, path)
            kinds.add(ids.id_type(column_type(path, file, columns.id, "id"), path))
            kind = column_type(path, file, columns.vector, "vector")
            if not columns.numbers.reads(kind):
                raise BadInput(
                    f"{path}, column {columns.vector}",
                    expected=columns.numbers.readable,
                    found=str(kind),
                    hint=Advice("declare_vectors")
                    if may_be_declared(kind)
                    else Advice("name_column", parameter="vector"),
                )
            if columns.label:
                column_type(path, file, columns.label, "label")
            for text in filter(None, (columns.id, columns.label)):
                refuse_long_values(path, file, text)
            count += len(file.rows)
        if count == 0:
            raise BadInput(files[0], expected="at least one row", found="none")
        if len(kinds) > 1:
            raise BadInput(files[0], expected="ids of one type in all files", found="integers and strings")
        rows = cls(files, columns, dim or 0, count, kinds.pop(), None, open_file)
        return rows if dim else replace(rows, dim=rows._first_dim())

    def blocks(self) -> Iterator[Block]:
        """The rows, at most `BLOCK_ROWS` at a time. The next ones are read while the caller works on these.

        Raises:
            BadInput: a row's vector is not what it should be; the error names file and row.
        """
        return read_ahead(chain.from_iterable(map(self.file_blocks, self.files)))

    def restricted(self, keep: pa.Array, count: int) -> StoredRows:
        """The same files, only the `count` rows whose ids are in `keep`."""
        return replace(self, count=count, keep=keep)

    def without_vectors(self) -> StoredRows:
        """The same rows, of which only ids and labels are read; their vectors have no coordinates."""
        return replace(self, columns=replace(self.columns, vector=""))

    def file_blocks(self, path: Address) -> Iterator[Block]:
        """The rows of one of the files."""
        try:
            file = opened(self.open_file, path)
            row = file.rows.start
            for batch in file.iter_batches(BLOCK_ROWS, self.columns.names):
                block = self.block(batch, path, row)
                row += batch.num_rows
                if len(block.ids):
                    yield block
        except (OSError, pa.ArrowException) as error:
            raise unreadable(path, error) from error
        refuse_other_count(path, file, row)

    def block(self, batch: pa.RecordBatch, path: Address, row: int) -> Block:
        """Read a batch, whose first row is row `row` of a file, as a block.

        Raises:
            BadInput: a row's vector is not what it should be.
        """

        numbers = np.arange(row, row + batch.num_rows)

        def place(column: str) -> BlockPlace:
            return BlockPlace(f"{path}, column {column}", numbers)

        def plain(column: str, kind: pa.DataType) -> pa.Array:
            return ids.plain(batch.column(column), kind, place(column))

        if self.keep is not None:
            kept = pc.is_in(plain(self.columns.id, self.id_kind), value_set=self.keep)
            batch, numbers = batch.filter(kept), numbers[kept.to_numpy(zero_copy_only=False)]
        vector, label = self.columns.vector, self.columns.label
        labels = ids.labels(batch.column(label), place(label)) if label else None
        vectors, lengths = np.empty((batch.num_rows, 0), np.float32), np.zeros(batch.num_rows, np.float32)
        if vector:
            vectors, lengths = measured_vectors(
                batch.column(vector), place(vector), dim=self.dim, numbers=self.columns.numbers
            )
        return Block(plain(self.columns.id, self.id_kind), vectors, lengths, labels)

    def _first_dim(self) -> int:
        for path in self.files:
            file = opened(self.open_file, path)
            if known := self.columns.numbers.list_size(file.schema_arrow.field(self.columns.vector).type):
                return known
            try:
                batch = next(file.iter_batches(1, [self.columns.vector]), None)
            except (OSError, pa.ArrowException) as error:
                raise unreadable(path, error) from error
            if batch is not None:
                where = f"{path}, column {self.columns.vector}"
                return int(matrix(batch.column(0), where, numbers=self.columns.numbers).shape[1])
        raise AssertionError("files with rows have a first row")


def read_ahead(made: Iterator[T]) -> Iterator[T]:
    """The items of `made`; the next one is made on a thread while the caller works on this one."""
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, made, None)
        while (one := following.result()) is not None:
            following = thread.submit(next, made, None)
            yield one


def opened(open_file: OpenFile, path: Address) -> ParquetReader:
    """Open a file.

    Raises:
        BadInput: there is none, or it cannot be read.
    """
    try:
        return open_file(path)
    except FileNotFoundError as error:
        raise unreadable(path, error) from error
