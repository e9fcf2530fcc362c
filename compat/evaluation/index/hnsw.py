"""An HNSW index of faiss, and the exact search over the same rows that it is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skipfill.compat.evaluation.index.rows import IndexedRows
from skipfill.compat.evaluation.index.settings import IndexSettings
from skipfill.compat.progress import Progress
from skipfill.store.errors import Advice, BadInput, Parameter
from skipfill.store.parquet.vectors import Matrix


class Hnsw:
    """An index of rows.

    The same rows in the same order give the same index, because it is built on one thread. With more threads, in most
    versions of faiss, the links depend on which thread is first. Searching is deterministic with any number.

    Raises:
        BadInput: faiss is not installed.

    Source: Malkov and Yashunin 2016, arXiv 1603.09320.
    """

    def __init__(self, rows: IndexedRows, settings: IndexSettings, progress: Progress) -> None:
        self._faiss = faiss_module()
        dim = rows.vectors.shape[1]
        self._index = self._faiss.IndexHNSWFlat(dim, settings.neighbours, self._faiss.METRIC_INNER_PRODUCT)
        self._index.hnsw.efConstruction = settings.ef_construction
        progress.start("building the HNSW index", len(rows.order))
        with _one_thread(self._faiss):
            for start in range(0, len(rows.order), settings.batch):
                inserted = rows.order[start : start + settings.batch]
                self._index.add(rows.vectors[inserted])
                progress.advance(len(inserted))

    def search(self, queries: Matrix, k: int, effort: int) -> NDArray[np.int64]:
        """(Q, k) numbers of the rows found, in order of insertion, best first; -1 where fewer were found.

        Args:
            effort: efSearch; less than k counts as k.
        """
        parameters = self._faiss.SearchParametersHNSW(efSearch=effort)
        found: NDArray[np.int64] = self._index.search(np.ascontiguousarray(queries), k, params=parameters)[1]
        return found

    def exact(self, queries: Matrix, k: int) -> NDArray[np.int64]:
        """(Q, k) numbers of the nearest rows, best first up to the rounding of float32."""
        found: NDArray[np.int64] = self._index.storage.search(np.ascontiguousarray(queries), k)[1]
        return found

    def scores(self, queries: Matrix, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """(Q, k) inner products, in float64, of each query with its rows; -inf for row -1."""
        shape = (self._index.ntotal, self._index.d)
        stored = self._faiss.rev_swig_ptr(self._faiss.downcast_index(self._index.storage).get_xb(), shape[0] * shape[1])
        vectors = stored.reshape(shape)
        scores = np.empty(rows.shape)
        for query, mine in enumerate(rows):
            scores[query] = np.einsum("kd,d->k", vectors[mine].astype(np.float64), queries[query].astype(np.float64))
        scores[rows < 0] = -np.inf
        return scores


def faiss_module() -> Any:
    """Import faiss; `BadInput` says how to install it."""
    try:
        import faiss
    except ImportError as error:
        raise BadInput(
            Parameter("index"),
            expected="faiss to build an HNSW index with",
            found="none installed",
            hint=Advice("install", extra="ann"),
        ) from error
    return faiss


@contextmanager
def _one_thread(faiss: Any) -> Iterator[None]:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
