"""A uniform sample of the gallery's rows, taken while the rows are streamed."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from skipfill.compat.methods.batch import GallerySample
from skipfill.store.parquet.vectors import Matrix


class Slots:
    """Assigns rows of a stream to the slots of a uniform sample (reservoir sampling).

    Args:
        size: rows kept.

    Attributes:
        filled: rows kept so far.

    Source: Vitter 1985, algorithm R, here block by block.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._size = size
        self._seen = 0
        self.filled = 0

    def of_next(self, rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(K,) slots for those of the next `rows` rows that are kept, and (K,) positions of these rows among them.

        If two rows get the same slot, the later one takes it, as if they had come one by one.
        """
        numbers = self._seen + np.arange(rows)
        slots = np.where(numbers < self._size, numbers, self._random.integers(0, numbers + 1))
        kept = np.flatnonzero(slots < self._size)
        self._seen += rows
        self.filled = min(self._size, self._seen)
        return slots[kept], kept

    def order(self) -> NDArray[np.int64]:
        """The slots in random order."""
        return self._random.permutation(self.filled)


class Reservoir:
    """A uniform sample of a stream of rows.

    Args:
        dim: d, of the rows' vectors.
        size: rows kept.
    """

    def __init__(self, dim: int, size: int, seed: int) -> None:
        self._slots = Slots(size, seed)
        self._vectors = np.empty((size, dim), np.float32)
        self._labels = np.empty(size, np.int64)
        self._items = np.empty(size, np.int64)

    @property
    def filled(self) -> int:
        """Rows kept so far."""
        return self._slots.filled

    def add(self, vectors: Matrix, labels: NDArray[np.int64], items: NDArray[np.int64]) -> None:
        """Offer M rows: (M, d) vectors, (M,) class or -1, (M,) training item or -1."""
        slots, kept = self._slots.of_next(len(labels))
        self._vectors[slots] = vectors[kept]
        self._labels[slots] = labels[kept]
        self._items[slots] = items[kept]

    def shuffle(self) -> None:
        """Put the kept rows in random order: the stream's own order may be by class."""
        order = self._slots.order()
        self._vectors, self._labels, self._items = self._vectors[order], self._labels[order], self._items[order]

    def sample(self) -> GallerySample:
        """The kept rows."""
        return GallerySample(
            torch.from_numpy(self._vectors[: self.filled]),
            torch.from_numpy(self._labels[: self.filled]),
            torch.from_numpy(self._items[: self.filled]),
        )
