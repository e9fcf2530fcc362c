"""Query vectors to the nearest rows of a gallery."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from skipfill.compat.inference.bfloat16 import rough_products
from skipfill.compat.progress import Progress
from skipfill.store.checks.reranking import Reranking
from skipfill.store.engine.engine import LOCAL, Engine
from skipfill.store.galleries.gallery import Gallery, open_gallery
from skipfill.store.parquet.packed.cache import PackedCache
from skipfill.store.parquet.stored_rows import Columns, OpenFile, StoredRows
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
        reranking: how they were re-ranked; None where they were not.
        scored_by: (Q * K,) name of the model in whose space each score is; None without re-ranking.
        encoded: rows whose items were encoded for this.
    """

    model: str
    query_ids: pa.Array
    hits: Hits
    reranking: Reranking | None = None
    scored_by: pa.Array | None = None
    encoded: int = 0

    @property
    def queries(self) -> int:
        return len(self.query_ids)

    @property
    def k(self) -> int:
        return int(self.hits.scores.shape[1])

    @classmethod
    def joined(cls, parts: Sequence[SearchResult]) -> SearchResult:
        """The results of parts of the queries, at least one, as one."""
        first = parts[0]
        hits = Hits(
            pa.concat_arrays([part.hits.ids for part in parts]), np.concatenate([part.hits.scores for part in parts])
        )
        scored_by = None if first.scored_by is None else pa.concat_arrays([part.scored_by for part in parts])
        query_ids = pa.concat_arrays([part.query_ids for part in parts])
        encoded = sum(part.encoded for part in parts)
        return cls(first.model, query_ids, hits, first.reranking, scored_by, encoded)

    def as_table(self) -> pa.Table:
        """Columns query, rank (from 1), id, score; and scored_by, where rows were re-ranked."""
        columns = {
            "query": self.query_ids.take(pa.array(np.repeat(np.arange(self.queries), self.k))),
            "rank": pa.array(np.tile(np.arange(1, self.k + 1, dtype=np.int32), self.queries)),
            "id": self.hits.ids,
            "score": pa.array(self.hits.scores.reshape(-1)),
        }
        return pa.table(columns if self.scored_by is None else {**columns, "scored_by": self.scored_by})

    def as_list(self, most: int | None = None) -> list[dict[str, Any]]:
        """The first `most` rows of the table as dicts; all for None."""
        rows: list[dict[str, Any]] = self.as_table().slice(0, most).to_pylist()
        return rows


StoredFiles = tuple[Sequence[Path], OpenFile]
"""Files of vectors, and what opens them."""


def search_vectors(
    objects: ObjectStore,
    name: str,
    parts: Iterable[StoredFiles],
    columns: Columns,
    k: int,
    progress: Progress,
    engine: Engine = LOCAL,
    cache: PackedCache | None = None,
) -> Iterator[SearchResult]:
    """Search gallery `name` with vectors of its own space, part after part."""
    gallery = open_gallery(objects, name, cache)
    for files, open_file in parts:
        blocks = list(StoredRows.open(files, columns, gallery.space.dim, open_file).blocks())
        ids = pa.concat_arrays([block.ids for block in blocks])
        yield searched(gallery, "", ids, np.concatenate([block.vectors for block in blocks]), k, progress, engine)


def searched(
    gallery: Gallery, model: str, ids: pa.Array, vectors: Matrix, k: int, progress: Progress, engine: Engine = LOCAL
) -> SearchResult:
    """The `k` nearest rows of (Q, d) vectors in the gallery's space."""
    progress.start(f"searching {gallery.name}", gallery.rows.count)
    rows, rough = gallery.rows, rough_products(vectors, gallery.rows.count)
    return SearchResult(model, ids, search(rows, vectors, k, gallery.space.metric, progress.advance, engine, rough))
