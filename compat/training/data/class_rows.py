"""Draws stored rows of the same class as each item from the pool."""

from __future__ import annotations

import torch
from torch import Tensor

from skipfill.compat.methods.batch import ClassRows, GallerySample

NOWHERE = -1


class RowsOfClasses:
    """A pool of stored rows, sorted by class."""

    def __init__(self, pool: GallerySample) -> None:
        self.pool = pool
        labels, self.order = pool.labels.sort(stable=True)
        # One extra class without rows stands for classes that the pool lacks.
        classes = torch.arange(int(pool.labels.max()) + 2)
        first = torch.searchsorted(labels, classes)
        counts = torch.searchsorted(labels, classes, right=True) - first
        self.ranges = torch.stack([first, counts], dim=1)
        # Position in that order of each item's row; the last entry stands for items that are not stored.
        items = pool.items[self.order]
        self.place_of = torch.full((int(items.max()) + 2,), NOWHERE)
        self.place_of[items.clamp(min=-1)] = torch.arange(len(items))
        self.place_of[-1] = NOWHERE  # rows that are no item, at -1, were written here

    def of(self, labels: Tensor, items: Tensor, most: int, sample: int, start: int) -> ClassRows:
        """Up to `most` rows of each item's class; all rows of the class where it has fewer.

        Args:
            labels, items: (B,) class and index of each item.
            most: rows drawn for an item.
            sample: size of the samples of the pool; `stand_for` counts in rows of such a sample.
            start: position in the class of the first row drawn; after the last row of a class comes its first.
        """
        first, counts = torch.split(self.ranges[labels.clamp(max=len(self.ranges) - 1)], 1, dim=1)
        turns = torch.arange(most)
        # For a class without rows, these are rows of another class, and `stand_for` is 0.
        places = (first + (start + turns) % counts.clamp(min=1)).clamp_(max=len(self.order) - 1)
        own = self.place_of[items.clamp(max=len(self.place_of) - 1)][:, None]
        drawn = (turns < counts) & (places != own)
        # Number of rows of the class, the item's own row not counted.
        others = counts - ((own >= first) & (own < first + counts)).long()
        share = min(sample, len(self.order)) / len(self.order)
        each = share * others / drawn.sum(dim=1, keepdim=True).clamp_(min=1)
        # Three times as fast as indexing with the two-dimensional `places`.
        vectors = self.pool.vectors.index_select(0, self.order[places.flatten()])
        return ClassRows(vectors.reshape(*places.shape, -1), drawn * each)
