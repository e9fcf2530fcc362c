"""Stored rows whose items are at hand, so that a model can encode them again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from skipfill.compat.gate.inputs import CheckInputs
from skipfill.compat.inference.encode import write_encoded
from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.progress import Progress
from skipfill.store.parquet.ids import positions
from skipfill.store.parquet.items import Items, open_items
from skipfill.store.parquet.stored_rows import Columns, StoredRows


def items_of_rows(rows: StoredRows, inputs: CheckInputs) -> Items | None:
    """Items of the gallery's own rows, with the labels stored there; None when there are not two of them."""
    files = inputs.gallery_items or (inputs.items if inputs.queries_are_rows else ())
    if not files:
        return None
    source = open_items(files, inputs.columns)
    known = np.zeros(len(source), bool)
    labels = np.full(len(source), None, object)
    for block in rows.blocks():
        at = positions(block.ids, source.ids)
        known[at[at >= 0]] = True
        if block.labels is not None:
            labels[at[at >= 0]] = np.asarray(block.labels.to_pylist(), object)[at >= 0]
    if known.sum() < 2:
        return None
    return source.restricted(known).relabelled(pa.array(labels[known], pa.string()))


@dataclass(frozen=True)
class ReencodableRows:
    """Gallery rows whose items are at hand, to be encoded again by any model, once each.

    Attributes:
        items: with the labels stored in the gallery; None when there are not two.
    """

    items: Items | None
    folder: Path
    progress: Progress

    @classmethod
    @contextmanager
    def opened(cls, rows: StoredRows, inputs: CheckInputs, progress: Progress) -> Iterator[ReencodableRows]:
        with tempfile.TemporaryDirectory() as folder:
            yield cls(items_of_rows(rows, inputs), Path(folder), progress)

    def __len__(self) -> int:
        return 0 if self.items is None else len(self.items)

    def by(self, model: LoadedModel) -> StoredRows:
        """The rows in the model's own space."""
        assert self.items is not None
        path = self.folder / f"{model.card.name}.parquet"
        if not path.exists():
            self.progress.start(f"encoding gallery items with {model.card.name}", len(self.items))
            write_encoded(model, self.items, path, self.progress.advance)
        return StoredRows.open([path], Columns(label="" if self.items.labels is None else "label"), model.card.dim)
