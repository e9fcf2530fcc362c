"""Answers to queries: the nearest rows of each, by a service's own index or by exact search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skipfill.compat.inference.bfloat16 import rough_products
from skipfill.compat.inference.given import Given, given_block
from skipfill.compat.inference.load import LoadedModel
from skipfill.store.errors import BadInput
from skipfill.store.galleries.gallery import Gallery
from skipfill.store.parquet.items import ItemBlock
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.retrieval.search import search

Found = tuple[Sequence[Sequence[Any]], Sequence[Sequence[float]]]
"""Ids and scores of the rows that were found for each of N queries, best first: lists or arrays."""
Find = Callable[[Matrix, int], Found]
"""Takes (N, d) query vectors and k, and returns the k nearest rows of each: a service's own index."""


@dataclass(frozen=True)
class Answers:
    """The answers of the released model to N queries.

    Attributes:
        query_ids: (N,) the ids under which the queries are noted.
        ids: (N, k) ids of rows, best first; fewer where the gallery has fewer.
        scores: (N, k) higher is nearer. NaN for a row that a re-ranking release has no vector for.
    """

    query_ids: list[str]
    ids: list[list[Any]]
    scores: list[list[float]]


def rows_found(find: Find, queries: Matrix, k: int) -> tuple[list[list[Any]], list[list[float]]]:
    """The rows that an index finds for N queries, as lists of ids and of scores.

    Raises:
        BadInput: it gives other than N lists of ids and of scores.
    """
    ids, scores = ([_as_list(row) for row in rows] for rows in find(queries, k))
    if list(map(len, ids)) != list(map(len, scores)) or len(ids) != len(queries):
        expected = f"{len(queries)} lists of ids, and as many scores"
        raise BadInput("find", expected=expected, found=f"{len(ids)} and {len(scores)}, or of other lengths")
    return ids, scores


def _as_list(row: Sequence[Any]) -> list[Any]:
    return row.tolist() if isinstance(row, np.ndarray) else list(row)


def exact_find(gallery: Gallery) -> Find:
    """Exact search of a gallery's files: a pass over them for each call."""

    def find(queries: Matrix, k: int) -> Found:
        rough = rough_products(queries, gallery.rows.count)
        hits = search(gallery.rows, queries, k, gallery.space.metric, rough=rough)
        count = hits.scores.shape[1]
        ids = hits.ids.to_pylist()
        return [ids[at : at + count] for at in range(0, len(ids), count)], hits.scores.tolist()

    return find


def queries_block(queries: Given, model: LoadedModel, old_vectors: NDArray[np.floating] | None) -> ItemBlock:
    """Queries of a service, at least one, as a block that the model encodes.

    Raises:
        BadInput: they are of another kind, or the old vectors do not fit them.
    """
    return replace(given_block(queries, model, "queries"), old_vectors=checked_old_vectors(old_vectors, len(queries)))


def checked_old_vectors(vectors: NDArray[np.floating] | None, count: int, dim: int = 0) -> Matrix | None:
    """(N, d) old vectors of N queries, as float32; None for none.

    Args:
        dim: d; 0 for any.

    Raises:
        BadInput: they have another shape, or one is not finite or has no direction.
    """
    if vectors is None:
        return None
    found = np.asarray(vectors)
    fits = found.ndim == 2 and len(found) == count and dim in (0, found.shape[1])
    if not fits or not np.isfinite(found).all() or not found.any(axis=1).all():
        of_dimension = f" of dimension {dim}" if dim else ""
        raise BadInput(
            "old_vectors",
            expected=f"a matrix of {count} finite vectors{of_dimension}, one per query, each with a direction",
            found=f"{found.dtype} of shape {found.shape}",
        )
    return found.astype(np.float32, copy=False)
