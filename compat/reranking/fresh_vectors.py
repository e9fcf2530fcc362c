"""New vectors of a gallery's rows on their way into an overlay: used at once, committed in batches."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skipfill.store.errors import SkipfillError
from skipfill.store.overlays.add import add_rows
from skipfill.store.overlays.overlay import Overlay, open_overlay
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.storage.object_store import ObjectStore


@dataclass(frozen=True)
class Found:
    """Vectors of N rows.

    Attributes:
        vectors: (N, D) float32; zeros where there is none.
        known: (N,) whether there is one.
    """

    vectors: Matrix
    known: NDArray[np.bool_]


@dataclass
class FreshVectors:
    """The overlay of a gallery by a model, and vectors that are not in it yet. Threads may share it.

    Attributes:
        model: name of the model, for lists.
        dim: D.
        most_rows: a batch is committed as soon as it has this many rows.
        seconds: a batch is committed by the next call after its first row has waited this long.
        keep: whether to commit at all.
        most_in_memory: largest number of rows that wait; beyond it, the oldest are forgotten.
        clock: returns seconds since some fixed moment.
        added: number of new rows that were committed.
        failed: why the last commit failed; empty if it did not.
    """

    objects: ObjectStore
    gallery: str
    fingerprint: str
    model: str
    dim: int
    most_rows: int = 1000
    seconds: float = 60
    keep: bool = True
    most_in_memory: int = 100_000
    clock: Callable[[], float] = time.monotonic
    added: int = 0
    failed: str = ""
    _rows: dict[Any, tuple[int, Matrix]] = field(default_factory=dict)
    _since: float = 0
    _reading: Lock = field(default_factory=Lock)
    _committing: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.overlay: Overlay = open_overlay(self.objects, self.gallery, self.fingerprint, self.dim)

    @property
    def waiting(self) -> int:
        """Number of rows that are not committed."""
        return len(self._rows)

    @property
    def due(self) -> bool:
        """Whether the batch is full, or its first row has waited long enough."""
        waited = self.clock() - self._since >= self.seconds
        return (self.waiting >= self.most_rows and not self.failed) or (self.waiting > 0 and waited)

    def find(self, ids: pa.Array, digests: NDArray[np.uint64] | None = None) -> Found:
        """The vectors of N rows.

        Args:
            digests: (N,) of the items' content: vectors of other content do not count. None: the newest of each id.
        """
        with self._reading:
            waiting = [self._rows.get(one) for one in ids.to_pylist()] if self._rows else []
            overlay = self.overlay
        places = overlay.places(ids, digests)
        known = places >= 0
        vectors = np.zeros((len(ids), self.dim), np.float32)
        vectors[known] = overlay.vectors(places[known])
        for at, row in enumerate(waiting):
            if row is not None and (digests is None or row[0] == digests[at]):
                vectors[at], known[at] = row[1], True
        return Found(vectors, known)

    def put(self, ids: pa.Array, digests: NDArray[np.uint64], vectors: Matrix) -> None:
        """Take the model's vectors of N rows, each with the digest of the content that it was made from."""
        with self._reading:
            if not self._rows:
                self._since = self.clock()
            for one, digest, vector in zip(ids.to_pylist(), digests.tolist(), vectors, strict=True):
                self._rows[one] = digest, vector
            while len(self._rows) > self.most_in_memory:
                del self._rows[next(iter(self._rows))]

    def commit_if_due(self) -> None:
        """Commit where the batch is full, or its first row has waited long enough.

        A commit that fails is tried again after `seconds`; the rows stay until then.
        """
        if not self.due or self._committing.locked():
            return
        try:
            self.commit()
        except SkipfillError as error:
            self.failed, self._since = str(error), self.clock()

    def commit(self) -> None:
        """Commit every row that waits. When this returns, they are in the store, durably.

        Raises:
            SkipfillError: the store cannot be read or written to; the rows stay here.
        """
        if not self.keep:
            return
        with self._committing:
            with self._reading:
                batch = dict(self._rows)
            if not batch:
                return
            digests = np.array([digest for digest, _ in batch.values()], np.uint64)
            vectors = np.stack([vector for _, vector in batch.values()])
            done = add_rows(
                self.objects,
                self.gallery,
                self.fingerprint,
                pa.array(list(batch)),
                digests,
                vectors,
                model=self.model,
                before=self.overlay,
            )
            with self._reading:
                self.overlay, self.failed, self._since = done.overlay, "", self.clock()
                self.added += done.added
                for one, row in batch.items():
                    if self._rows.get(one) is row:
                        del self._rows[one]
