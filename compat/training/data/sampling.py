"""Draws the batches of a training: see `Batch`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from skipfill.compat.encoders.encoder import PreparedItems
from skipfill.compat.encoders.prepared import as_float
from skipfill.compat.methods.batch import Batch, GallerySample, Pairs
from skipfill.compat.training.data.training_data import TrainingData

NO_FEATURES = torch.empty(0)
Halves = tuple[Tensor, Tensor]  # rows that are augmented, and rows that are not
OF_A_CLASS = 16  # stored rows of the same class drawn for each item of a step


def steps_for(items: int, size: int, fewest: int) -> int:
    """Number of batches for this many items: at most `size` items in each, but never fewer than `fewest`."""
    return max(1, min(math.ceil(items / size), items // fewest))


def parts(
    data: TrainingData, rows: Tensor, count: int, *, sample: int = 0, pairs: int = 0, of_trained: bool = True
) -> Iterator[tuple[Tensor, Batch]]:
    """Draw a batch for these rows, in `count` parts.

    Args:
        rows: (B,) items.
        sample: stored rows drawn, the same for all parts; 0 for none.
        pairs: items drawn with their stored vectors, for all parts together; 0 for none.
        of_trained: whether training items may be among the pairs.

    Yields:
        The prepared items of a part, those of its pairs last, and its batch without features.
    """
    stored = _sample(data.pool, sample)
    own, unlabelled = (_halves(drawn) for drawn in _drawn_pairs(data, pairs, of_trained))
    start = int(torch.randint(2**31, ())) if stored else 0
    for some, *shared in zip(*(torch.tensor_split(one, count) for one in (rows, *own, *unlabelled)), strict=True):
        two_kinds = (shared[0], shared[1]), (shared[2], shared[3])
        # One pass over all items, so that batch norm sees one distribution.
        inputs = as_float(_items(data, some, *two_kinds))
        batch = _batch(data, some, stored, start)
        yield inputs, replace(batch, pairs=_pairs(data, *two_kinds))


def _drawn_pairs(data: TrainingData, count: int, of_trained: bool) -> tuple[Tensor, Tensor]:
    """Draw `count` stored items: training items, and as many unlabelled ones where there are both.

    Half of the unlabelled ones are of no training class, if there are such items: no other loss term sees them.
    """
    none = torch.empty(0, dtype=torch.long)
    own, everything, strange = data.stored if of_trained else none, none, none
    if data.unlabelled is not None:
        everything, strange = torch.arange(len(data.unlabelled.items)), data.unlabelled.strange
    unlabelled = count // 2 if len(own) else count
    unlabelled = unlabelled if len(everything) else 0
    few = unlabelled // 2 if len(strange) else 0
    drawn = _drawn(everything, unlabelled - few), _drawn(strange, few)
    return _drawn(own, count - unlabelled), torch.cat(drawn)


def _drawn(rows: Tensor, count: int) -> Tensor:
    """Draw `count` of the rows with replacement; none where there are none."""
    return rows[torch.randint(len(rows), (count,))] if len(rows) else rows


def _halves(rows: Tensor) -> Halves:
    """Split rows alternately, because the last ones are all of no training class."""
    return rows[1::2], rows[::2]


def _items(data: TrainingData, rows: Tensor, own: Halves, unlabelled: Halves) -> PreparedItems:
    """The items of a batch, then those of its pairs that are augmented, then those that are not."""
    labelled = data.items.raw(torch.cat([rows, *own]))
    if data.unlabelled is None or not sum(map(len, unlabelled)):
        return labelled
    others, half, middle = data.unlabelled.items.raw(torch.cat(unlabelled)), len(unlabelled[0]), len(rows) + len(own[0])
    return np.concatenate([labelled[:middle], others[:half], labelled[middle:], others[half:]])


def _pairs(data: TrainingData, own: Halves, unlabelled: Halves) -> Pairs | None:
    """The stored vectors of the pairs, in the order of `_items`; None without any."""
    sources = [] if data.old is None else [(data.old, own)]
    sources += [] if data.unlabelled is None else [(data.unlabelled.old, unlabelled)]
    augmented, others = ([vectors[halves[half]] for vectors, halves in sources] for half in (0, 1))
    if not sum(map(len, augmented + others)):
        return None
    return Pairs(torch.cat(augmented + others), sum(map(len, augmented)))


def _batch(data: TrainingData, rows: Tensor, sample: GallerySample | None, start: int) -> Batch:
    """The batch of these rows, without features and pairs."""
    batch = Batch(NO_FEATURES, data.labels[rows], teacher=None if data.teacher is None else data.teacher[rows])
    if sample:
        own_class_rows = data.by_class.of(batch.labels, rows, OF_A_CLASS, len(sample.vectors), start)
        return replace(batch, sample=sample, own_class_rows=own_class_rows)
    if data.old is None or data.has_old is None:
        return batch
    return replace(batch, old=data.old[rows], has_old=data.has_old[rows])


def _sample(pool: GallerySample | None, size: int) -> GallerySample | None:
    """Consecutive rows of the pool, which is in random order. Mostly a view: a gather would copy megabytes a step."""
    if pool is None or not size:
        return None
    count = len(pool.vectors)
    start = int(torch.randint(count, ())) if size < count else 0
    parts = [slice(start, start + size), slice(0, max(0, start + min(size, count) - count))]

    def window(column: Tensor) -> Tensor:
        return torch.cat([column[part] for part in parts]) if parts[1].stop else column[parts[0]]

    return GallerySample(window(pool.vectors), window(pool.labels), window(pool.items))
