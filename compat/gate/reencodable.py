"""Gallery rows whose items are given, so that a model can encode them again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from skipfill.compat.gate.context import CheckContext
from skipfill.compat.inference.encode import write_encoded
from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.progress import Progress
from skipfill.store.engine.engine import Engine
from skipfill.store.parquet.items import Items
from skipfill.store.parquet.matching import matched
from skipfill.store.parquet.stored_rows import Columns, StoredRows
from skipfill.store.storage.unfinished import scratch_folder


@dataclass(frozen=True)
class ReencodableRows:
    """Gallery rows whose items are given, to be encoded again by any model, once each.

    Attributes:
        items: with the labels stored in the gallery; None when there are fewer than two.
        folder: where the vectors lie meanwhile.
    """

    items: Items | None
    folder: Path
    progress: Progress
    engine: Engine

    @classmethod
    @contextmanager
    def opened(cls, context: CheckContext) -> Iterator[ReencodableRows]:
        """Find them among the items given; the vectors are gone when the context ends."""
        with scratch_folder() as folder:
            yield cls(_items_of_rows(context), folder, context.progress, context.engine)

    def __len__(self) -> int:
        return 0 if self.items is None else len(self.items)

    def encoded_by(self, model: LoadedModel) -> StoredRows:
        """The rows in the model's own space."""
        assert self.items is not None
        path = self.folder / f"{model.card.name}.parquet"
        if not path.exists():
            self.progress.start(f"encoding gallery items with {model.card.name}", len(self.items))
            write_encoded(model, self.items, path, self.progress.advance, engine=self.engine)
        return StoredRows.open([path], Columns(label="" if self.items.labels is None else "label"), model.card.dim)


def _items_of_rows(context: CheckContext) -> Items | None:
    """Items of the gallery's own rows, with the labels stored there; None when there are fewer than two."""
    inputs = context.inputs
    files = inputs.gallery_items or (inputs.items if inputs.queries_are_rows else ())
    if not files:
        return None
    items = context.open_items(files)
    are_rows = np.zeros(len(items), bool)
    labels = np.full(len(items), None, object)
    for match in matched(context.gallery.rows.without_vectors(), items.ids):
        are_rows[match.places] = True
        if match.labels is not None:
            labels[match.places] = match.labels.to_pylist()
    if are_rows.sum() < 2:
        return None
    return items.restricted(are_rows).relabelled(pa.array(labels[are_rows], pa.string()))
