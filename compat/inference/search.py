"""Queries through the released model, or as vectors, to the nearest rows of a gallery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skipfill.compat.inference.encode import encode_all
from skipfill.compat.inference.released import released_model
from skipfill.compat.progress import Progress
from skipfill.store.engine.engine import LOCAL, Engine
from skipfill.store.galleries.gallery import Gallery, open_gallery
from skipfill.store.parquet.files import expand
from skipfill.store.parquet.items import ItemColumns, open_items
from skipfill.store.parquet.stored_rows import Columns, StoredRows
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.retrieval.search import Hits, search
from skipfill.store.storage.object_store import ObjectStore


@dataclass(frozen=True)
class SearchResult:
    """The nearest rows of Q queries.

    Attributes:
        model: name of the model that encoded the queries; empty when they came as vectors.
        query_ids: (Q,).
        hits: the K nearest rows of each query.
    """

    model: str
    query_ids: pa.Array
    hits: Hits

    @property
    def queries(self) -> int:
        return len(self.query_ids)

    @property
    def k(self) -> int:
        return int(self.hits.scores.shape[1])

    def as_table(self) -> pa.Table:
        """Columns query, rank (from 1), id, score."""
        return pa.table(
            {
                "query": self.query_ids.take(pa.array(np.repeat(np.arange(self.queries), self.k))),
                "rank": pa.array(np.tile(np.arange(1, self.k + 1, dtype=np.int32), self.queries)),
                "id": self.hits.ids,
                "score": pa.array(self.hits.scores.reshape(-1)),
            }
        )

    def as_list(self, most: int | None = None) -> list[dict[str, Any]]:
        """The first `most` rows of the table as dicts; all for None."""
        rows: list[dict[str, Any]] = self.as_table().slice(0, most).to_pylist()
        return rows


def search_items(
    objects: ObjectStore,
    name: str,
    items: Sequence[Path],
    columns: ItemColumns,
    k: int,
    progress: Progress,
    engine: Engine = LOCAL,
) -> SearchResult:
    """Encode items with the released model of gallery `name` and search for the `k` nearest rows of each.

    Raises:
        BadInput: no model is released, its bundle is gone, or another one has its name now.
    """
    gallery = open_gallery(objects, name)
    model = released_model(objects, gallery)
    queries = open_items(items, columns)
    vectors = encode_all(model, queries, progress, onto=gallery.space.name, engine=engine)
    return _searched(gallery, model.card.name, queries.ids, vectors, k, progress, engine)


def search_vectors(
    objects: ObjectStore,
    name: str,
    files: Sequence[Path],
    id_column: str,
    vector: str,
    k: int,
    progress: Progress,
    engine: Engine = LOCAL,
) -> SearchResult:
    """Search gallery `name` with vectors of its own space, read from the columns `id_column` and `vector`."""
    gallery = open_gallery(objects, name)
    rows = StoredRows.open(expand(files), Columns(id_column, vector), gallery.space.dim)
    blocks = list(rows.blocks())
    ids = pa.concat_arrays([block.ids for block in blocks])
    return _searched(gallery, "", ids, np.concatenate([block.vectors for block in blocks]), k, progress, engine)


def write_hits(result: SearchResult, file: BinaryIO) -> None:
    """Write the hits as Parquet: query, rank, id, score."""
    pq.write_table(result.as_table(), file, compression="zstd")


def _searched(
    gallery: Gallery, model: str, ids: pa.Array, vectors: Matrix, k: int, progress: Progress, engine: Engine
) -> SearchResult:
    progress.start(f"searching {gallery.name}", gallery.rows.count)
    return SearchResult(model, ids, search(gallery.rows, vectors, k, gallery.space.metric, progress.advance, engine))
