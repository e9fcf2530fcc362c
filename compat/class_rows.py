"""The stored rows of each class."""

from __future__ import annotations

import torch
from torch import Tensor

from skipfill.compat.method import ClassRows, StoredSample


class RowsOfClasses:
    """A pool of stored rows by their class."""

    def __init__(self, pool: StoredSample) -> None:
        self.pool = pool
        self.labels, self.order = pool.labels.sort(stable=True)
        self.items, order = pool.items.sort()
        self.item_labels = pool.labels[order]

    def of(self, labels: Tensor, items: Tensor, most: int, sample: int, start: int) -> ClassRows:
        """Up to `most` rows of each item's class, all that there are where there are fewer.

        Args:
            labels, items: (B,) class and index of each item.
            start: place of the first among the rows of its class, after whose last the first follows.
            sample: rows of the pool in a sample, of which `stand_for` is in units.
        """
        first = torch.searchsorted(self.labels, labels)
        counts = torch.searchsorted(self.labels, labels, right=True) - first
        turn = torch.arange(most)
        place = (start + turn) % counts[:, None].clamp(min=1)
        # At a class of no rows this is the next one's, or the last, and stands for nothing.
        rows = self.order[(first[:, None] + place).clamp(max=len(self.order) - 1)]
        drawn = (turn < counts[:, None]) & (self.pool.items[rows] != items[:, None])
        others = counts - self._own(labels, items)
        share = min(sample, len(self.order)) / len(self.order)
        each = share * others / drawn.sum(dim=1).clamp(min=1)
        # Three times as fast as an index of two dimensions.
        vectors = self.pool.vectors.index_select(0, rows.flatten()).reshape(*rows.shape, self.pool.vectors.shape[1])
        return ClassRows(vectors, drawn * each[:, None])

    def _own(self, labels: Tensor, items: Tensor) -> Tensor:
        """(B,) int64, whether the pool has the row of the item itself, and in its class."""
        place = torch.searchsorted(self.items, items).clamp(max=len(self.items) - 1)
        return ((self.items[place] == items) & (self.item_labels[place] == labels)).long()
