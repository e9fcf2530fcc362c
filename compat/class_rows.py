"""The stored rows of each class."""

from __future__ import annotations

import torch
from torch import Tensor

from skipfill.compat.method import ClassRows, StoredSample


class RowsOfClasses:
    """A pool of stored rows by their class."""

    def __init__(self, pool: StoredSample) -> None:
        self.pool = pool
        labels, self.order = pool.labels.sort(stable=True)
        # One class more than there are: of no rows, for those that the pool has none of.
        classes = torch.arange(int(pool.labels.max()) + 2)
        self.items = pool.items[self.order]
        first = torch.searchsorted(labels, classes)
        self.counts = torch.searchsorted(labels, classes, right=True) - first
        self.first = first.clamp(max=len(labels) - 1)
        self.item_labels = torch.full((int(pool.items.max()) + 2,), -1)
        self.item_labels[pool.items.clamp(min=-1)] = pool.labels
        self.item_labels[-1] = -1  # of items that are not stored, and of rows that are no item's

    def of(self, labels: Tensor, items: Tensor, most: int, sample: int, start: int) -> ClassRows:
        """Up to `most` rows of each item's class, all that there are where there are fewer.

        Args:
            labels, items: (B,) class and index of each item.
            start: place of the first among the rows of its class, after whose last the first follows.
            sample: rows of the pool in a sample, of which `stand_for` is in units.
        """
        known = labels.clamp(max=len(self.counts) - 1)
        first, counts = self.first[known], self.counts[known]
        turns = torch.arange(start, start + most)
        # At a class of no rows this is the next one's, or the last, and stands for nothing.
        places = first[:, None] + turns % counts[:, None].clamp(min=1)
        drawn = (turns < start + counts[:, None]) & (self.items[places] != items[:, None])
        # Where the pool has the row of the item itself, and in its class.
        own = self.item_labels[items.clamp(max=len(self.item_labels) - 1)] == labels
        others = counts - own.long()
        share = min(sample, len(self.order)) / len(self.order)
        each = share * others / drawn.sum(dim=1).clamp(min=1)
        # Three times as fast as an index of two dimensions.
        vectors = self.pool.vectors.index_select(0, self.order[places.flatten()])
        return ClassRows(vectors.reshape(*places.shape, -1), drawn * each[:, None])
