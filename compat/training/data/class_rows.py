"""The stored rows of each class."""

from __future__ import annotations

import torch
from torch import Tensor

from skipfill.compat.methods.batch import ClassRows, GallerySample

NOWHERE = -1


class RowsOfClasses:
    """A pool of stored rows by their class."""

    def __init__(self, pool: GallerySample) -> None:
        self.pool = pool
        labels, self.order = pool.labels.sort(stable=True)
        # One class more than there are: of no rows, for those that the pool has none of.
        classes = torch.arange(int(pool.labels.max()) + 2)
        first = torch.searchsorted(labels, classes)
        counts = torch.searchsorted(labels, classes, right=True) - first
        self.ranges = torch.stack([first, counts], dim=1)
        # Where in that order the row of each item is; the last one stands for items that are not stored.
        items = pool.items[self.order]
        self.place_of = torch.full((int(items.max()) + 2,), NOWHERE)
        self.place_of[items.clamp(min=-1)] = torch.arange(len(items))
        self.place_of[-1] = NOWHERE  # of rows that are no item's

    def of(self, labels: Tensor, items: Tensor, most: int, sample: int, start: int) -> ClassRows:
        """Up to `most` rows of each item's class, all that there are where there are fewer.

        Args:
            labels, items: (B,) class and index of each item.
            start: place of the first among the rows of its class, after whose last the first follows.
            sample: rows of the pool in a sample, of which `stand_for` is in units.
        """
        first, counts = torch.split(self.ranges[labels.clamp(max=len(self.ranges) - 1)], 1, dim=1)
        turns = torch.arange(most)
        # At a class of no rows this is the next one's, or the last, and stands for nothing.
        places = (first + (start + turns) % counts.clamp(min=1)).clamp_(max=len(self.order) - 1)
        own = self.place_of[items.clamp(max=len(self.place_of) - 1)][:, None]
        drawn = (turns < counts) & (places != own)
        # Where the row of the item itself is in its class.
        others = counts - ((own >= first) & (own < first + counts)).long()
        share = min(sample, len(self.order)) / len(self.order)
        each = share * others / drawn.sum(dim=1, keepdim=True).clamp_(min=1)
        # Three times as fast as an index of two dimensions.
        vectors = self.pool.vectors.index_select(0, self.order[places.flatten()])
        return ClassRows(vectors.reshape(*places.shape, -1), drawn * each)
