"""Items to train on or encode: rows with an id, and an image, a vector of features or a text, perhaps a label."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skipfill.store.errors import BadInput, BlockPlace
from skipfill.store.parquet import ids
from skipfill.store.parquet.files import (
    ParquetReader,
    column_type,
    read_ids_and_labels,
    refuse_other_count,
    unreadable,
)
from skipfill.store.parquet.formats.folders import item_files
from skipfill.store.parquet.formats.recognise import open_rows
from skipfill.store.parquet.inputs import InputKind, input_of, inputs_of
from skipfill.store.parquet.stored_rows import OpenFile, opened
from skipfill.store.parquet.vectors import Matrix, is_vector_type, matrix

BLOCK_ROWS = 2_048
"""Most items of a block: their inputs, such as images, are larger than stored vectors."""


@dataclass(frozen=True)
class ItemColumns:
    """Column names.

    Attributes:
        input: empty for the first there is of `image`, `vector` and `text`.
        old_vector: of vectors by the old encoder, which a blend mixes in; empty where no item brings one.
    """

    id: str = "id"
    label: str = "label"
    input: str = ""
    old_vector: str = ""


@dataclass(frozen=True)
class ItemBlock:
    """Some items of one file, in order.

    Attributes:
        inputs: a list of encoded images (bytes of PNG, JPEG, ...), of texts (str), or an (N, F) float32 matrix.
        rows: (N,) their positions in the file.
        old_vectors: (N, d) the old encoder's vectors of the same items; None where they bring none.
    """

    ids: pa.Array
    inputs: list[Any] | Matrix
    rows: NDArray[np.int64]
    path: Path
    old_vectors: Matrix | None = None

    @property
    def kind(self) -> InputKind:
        """The kind of its inputs; it has at least one."""
        if not isinstance(self.inputs, list):
            return "vector"
        return "text" if isinstance(self.inputs[0], str) else "image"

    def filter(self, chosen: NDArray[np.bool_]) -> ItemBlock:
        """Some of the items, (N,) bool."""
        here = np.flatnonzero(chosen)
        inputs = [self.inputs[at] for at in here] if isinstance(self.inputs, list) else self.inputs[here]
        old_vectors = None if self.old_vectors is None else self.old_vectors[here]
        return ItemBlock(self.ids.take(pa.array(here)), inputs, self.rows[here], self.path, old_vectors)


@dataclass(frozen=True)
class Items:
    """Opened item files with their ids and labels in memory; the inputs are streamed.

    Attributes:
        kind: `image`, `vector` or `text`.
        ids: (N,) int64 or string, unique.
        labels: (N,) string with NULLs, or None when there is no label column.
        keep: (rows that are read of the files,) bool, which of them are these items; None for all.
        open_file: opens a file for a pass.
        old_column: of the old encoder's vectors; empty for none.
    """

    files: list[Path]
    kind: InputKind
    input_column: str
    id_column: str
    ids: pa.Array
    labels: pa.Array | None
    keep: NDArray[np.bool_] | None = None
    open_file: OpenFile = open_rows
    old_column: str = ""

    def __len__(self) -> int:
        return len(self.ids)

    def lacks(self, column: str) -> str:
        """The first file without a column, in words; empty where every file has it."""
        for path in self.files:
            names = opened(self.open_file, path).schema_arrow.names
            if column not in names:
                return f"no column {column!r} in {path}, which has columns {', '.join(names)}"
        return ""

    @property
    def where(self) -> str:
        """The files' names, for messages."""
        return str(self.files[0]) + (f" and {len(self.files) - 1} more" if len(self.files) > 1 else "")

    def restricted(self, chosen: NDArray[np.bool_]) -> Items:
        """Only the `chosen` ones of these items, (N,) bool."""
        keep = chosen
        if self.keep is not None:
            keep = self.keep.copy()
            keep[self.keep] = chosen
        mask = pa.array(chosen)
        labels = None if self.labels is None else self.labels.filter(mask)
        return replace(self, ids=self.ids.filter(mask), labels=labels, keep=keep)

    def relabelled(self, labels: pa.Array) -> Items:
        """The same items with other labels, (N,) string."""
        return replace(self, labels=labels)

    def has(self, column: str) -> bool:
        """Whether every file has a column of this name."""
        return all(column in opened(self.open_file, path).schema_arrow.names for path in self.files)

    def reading(self, column: str) -> Items:
        """The same items with their inputs from another column.

        Raises:
            BadInput: a file lacks it, or it cannot be encoded.
        """
        kind, _ = input_of(self.files[0], column, self.open_file)
        for path in self.files:
            column_type(path, opened(self.open_file, path), column, "input")
        return replace(self, kind=kind, input_column=column, old_column="")

    def blocks(self) -> Iterator[ItemBlock]:
        """The items in order, at most 2,048 at a time.

        Raises:
            BadInput: an input is missing or not of the expected form; the error names file and row.
        """
        columns = dict.fromkeys([self.id_column, self.input_column, *filter(None, [self.old_column])])
        for batch, path, rows in self._batches(lambda names: list(columns)):
            yield self._block(batch, path, rows)

    def details(self) -> Iterator[pa.RecordBatch]:
        """All columns of the items but id and input, in order, at most 2,048 items at a time."""
        known = {self.id_column, self.input_column}
        return (batch for batch, _, _ in self._batches(lambda names: [name for name in names if name not in known]))

    def _batches(
        self, wanted: Callable[[list[str]], list[str]]
    ) -> Iterator[tuple[pa.RecordBatch, Path, NDArray[np.int64]]]:
        """Batches of the items, not empty, with their file and the rows in it; `wanted` chooses among its columns."""
        before = 0
        for path in self.files:
            try:
                file = opened(self.open_file, path)
                row = file.rows.start
                before -= row
                for batch in file.iter_batches(BLOCK_ROWS, wanted(file.schema_arrow.names)):
                    size = batch.num_rows
                    rows = np.arange(row, row + size)
                    row += size
                    if self.keep is not None:
                        kept = self.keep[before + rows]
                        batch, rows = batch.filter(pa.array(kept)), rows[kept]
                    if len(rows):
                        yield batch, path, rows
            except (OSError, pa.ArrowException) as error:
                raise unreadable(path, error) from error
            refuse_other_count(path, file, row)
            before += row

    def _block(self, batch: pa.RecordBatch, path: Path, rows: NDArray[np.int64]) -> ItemBlock:
        column = batch.column(self.input_column)
        return ItemBlock(
            ids.plain(
                batch.column(self.id_column), self.ids.type, BlockPlace(f"{path}, column {self.id_column}", rows)
            ),
            inputs_of(self.kind, column, BlockPlace(f"{path}, column {self.input_column}", rows), path.parent),
            rows,
            path,
            self._old_vectors(batch, path, rows),
        )

    def _old_vectors(self, batch: pa.RecordBatch, path: Path, rows: NDArray[np.int64]) -> Matrix | None:
        if not self.old_column:
            return None
        return matrix(batch.column(self.old_column), f"{path}, column {self.old_column}, row {rows[0]}")


def open_items(paths: Sequence[Path], columns: ItemColumns = ItemColumns(), open_file: OpenFile = open_rows) -> Items:
    """Open files and folders of items: see `opened_items`, and `item_files` for what a folder stands for."""
    return opened_items(item_files(paths), columns, open_file)


def opened_items(files: list[Path], columns: ItemColumns, open_file: OpenFile) -> Items:
    """Open item files: check columns, read ids and labels.

    Raises:
        BadInput: missing or unreadable file, no usable input column, NULL or duplicate ids, no rows.
    """
    kind, input_column = input_of(files[0], columns.input, open_file)
    all_ids: list[pa.Array] = []
    all_labels: list[pa.Array] = []
    has_labels = True
    for path in files:
        file = opened(open_file, path)
        id_kind = ids.id_type(column_type(path, file, columns.id, "id"), path)
        column_type(path, file, input_column, "input")
        if columns.old_vector:
            _refuse_no_vectors(path, file, columns.old_vector)
        has_labels &= columns.label in file.schema_arrow.names
        wanted = [columns.id] + ([columns.label] if has_labels else [])
        table = read_ids_and_labels(path, file, wanted)
        all_ids.append(ids.plain(table.column(columns.id), id_kind, _place(path, columns.id, file)))
        if has_labels:
            all_labels.append(ids.labels(table.column(columns.label), _place(path, columns.label, file)))
    if len({array.type for array in all_ids}) > 1:
        raise BadInput(files[0], expected="ids of one type in all files", found="integers and strings")
    joined = pa.concat_arrays(all_ids)
    if len(joined) == 0:
        raise BadInput(files[0], expected="at least one item", found="no rows")
    ids.refuse_bad_ids(all_ids, files, columns.id)
    labels = pa.concat_arrays(all_labels) if has_labels else None
    if labels is not None and labels.null_count == len(labels):
        labels = None
    return Items(files, kind, input_column, columns.id, joined, labels, None, open_file, columns.old_vector)


def _place(path: Path, column: str, file: ParquetReader) -> BlockPlace:
    return BlockPlace(f"{path}, column {column}", file.rows)


def _refuse_no_vectors(path: Path, file: ParquetReader, column: str) -> None:
    kind = column_type(path, file, column, "old_vector")
    if not is_vector_type(kind):
        raise BadInput(f"{path}, column {column}", expected="vectors of the old encoder", found=str(kind))
