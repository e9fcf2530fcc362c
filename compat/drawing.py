"""What a step of training sees: items, their stored vectors, a sample of stored rows, unlabelled items."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from skipfill.compat.class_rows import RowsOfClasses
from skipfill.compat.encoder import PreparedItems
from skipfill.compat.method import Batch, Pairs, StoredSample, Unlabelled
from skipfill.compat.prepared import Prepared, as_float

NO_FEATURES = torch.empty(0)
OF_A_CLASS = 16  # stored rows of its own class that an item sees in a step


@dataclass(frozen=True)
class Aligned(Unlabelled):
    """Attributes: items, (A) prepared."""

    items: Prepared

    @cached_property
    def strange(self) -> Tensor:
        """Which of them are of no training class."""
        return (self.labels < 0).nonzero().flatten()

    def first(self, count: int) -> Aligned:
        """At most the first `count`."""
        return Aligned(self.old[:count], self.labels[:count], Prepared(self.items.items[:count]))


@dataclass(frozen=True)
class TrainingData:
    """Everything that batches are drawn from.

    Attributes:
        items: (N) prepared items.
        labels: (N,) int64.
        old: (N, d) stored vectors, L2-normalised; None without a gallery.
        has_old: (N,) bool.
        pool: stored rows to draw samples from, in random order.
        teacher: (N, D') embeddings of the teacher.
        align: unlabelled items of the gallery; None for none.
        validation: which of the N items are not trained on, and choose the epoch; None for none.
    """

    items: Prepared
    labels: Tensor
    old: Tensor | None = None
    has_old: Tensor | None = None
    pool: StoredSample | None = None
    teacher: Tensor | None = None
    align: Aligned | None = None
    validation: Tensor | None = None

    @cached_property
    def stored(self) -> Tensor:
        """Which of the items that are trained on have a stored vector."""
        if self.has_old is None:
            return torch.empty(0, dtype=torch.long)
        return self.trained[self.has_old[self.trained]]

    @cached_property
    def by_class(self) -> RowsOfClasses:
        """The pool by class."""
        assert self.pool is not None
        return RowsOfClasses(self.pool)

    @property
    def trained(self) -> Tensor:
        """Which of the items are trained on."""
        kept = torch.ones(len(self.items), dtype=torch.bool)
        if self.validation is not None:
            kept[self.validation] = False
        return kept.nonzero().flatten()


def steps_for(items: int, size: int, fewest: int) -> int:
    """In how many batches of at most `size`, and at least `fewest`, items come; `fewest` goes first."""
    return max(1, min(math.ceil(items / size), items // fewest))


def parts(
    data: TrainingData, rows: Tensor, count: int, *, sample: int = 0, pairs: int = 0, of_trained: bool = True
) -> Iterator[tuple[Tensor, Batch]]:
    """A batch of these rows in `count` parts: the items, those of the pairs last, and all but their features.

    Args:
        rows: (B,) items.
        sample: stored rows drawn, the same for all parts; 0 for none.
        pairs: items drawn with their stored vectors, for all parts together; 0 for none.
        of_trained: whether training items are among them.
    """
    stored = _sample(data.pool, sample)
    own, unlabelled = _drawn_pairs(data, pairs, of_trained)
    start = int(torch.randint(2**31, ())) if stored else 0
    first = 0
    for some, *shared in zip(*(torch.tensor_split(one, count) for one in (rows, own, unlabelled)), strict=True):
        # One pass over all, so that batch norm sees one distribution.
        inputs = as_float(_items(data, some, *shared))
        batch = _batch(data, some, stored, start)
        yield inputs, replace(batch, first=first, step=len(rows), pairs=_pairs(data, *shared))
        first += len(some)


def _drawn_pairs(data: TrainingData, count: int, of_trained: bool) -> tuple[Tensor, Tensor]:
    """Training items that are stored, and unlabelled ones: as many of both, where there are both.

    Half of the unlabelled ones are of no training class, where there are such: nothing else teaches what they are.
    """
    none = torch.empty(0, dtype=torch.long)
    own, everything, strange = data.stored if of_trained else none, none, none
    if data.align is not None:
        everything, strange = torch.arange(len(data.align.items)), data.align.strange
    unlabelled = count // 2 if len(own) else count
    unlabelled = unlabelled if len(everything) else 0
    few = unlabelled // 2 if len(strange) else 0
    drawn = _drawn(everything, unlabelled - few), _drawn(strange, few)
    return _drawn(own, count - unlabelled), torch.cat(drawn)


def _drawn(rows: Tensor, count: int) -> Tensor:
    """Any `count` of the rows, one as likely as another each time; none where there are none."""
    return rows[torch.randint(len(rows), (count,))] if len(rows) else rows


def _items(data: TrainingData, rows: Tensor, own: Tensor, unlabelled: Tensor) -> PreparedItems:
    """The items of a batch, and after them those of its pairs."""
    items = data.items.raw(torch.cat([rows, own]))
    if data.align is None or not len(unlabelled):
        return items
    return np.concatenate([items, data.align.items.raw(unlabelled)])


def _pairs(data: TrainingData, own: Tensor, unlabelled: Tensor) -> Pairs | None:
    old = [data.old[own]] if data.old is not None and len(own) else []
    if data.align is not None and len(unlabelled):
        old.append(data.align.old[unlabelled])
    if not old:
        return None
    return Pairs(old[0] if len(old) == 1 else torch.cat(old))


def _batch(data: TrainingData, rows: Tensor, stored: StoredSample | None, start: int) -> Batch:
    labels, alike = data.labels[rows], None
    if stored:
        alike = data.by_class.of(labels, rows, OF_A_CLASS, len(stored.vectors), start)
    return Batch(
        encoded=NO_FEATURES,
        labels=labels,
        items=rows,
        old=None if data.old is None else data.old[rows],
        has_old=None if data.has_old is None else data.has_old[rows],
        sample=stored,
        alike=alike,
        teacher=None if data.teacher is None else data.teacher[rows],
    )


def _sample(pool: StoredSample | None, size: int) -> StoredSample | None:
    """Stored rows in a row, in a pool that is in random order: a view, where a gather would copy megabytes a step."""
    if pool is None or not size:
        return None
    count = len(pool.vectors)
    start = int(torch.randint(count, ())) if size < count else 0
    parts = [slice(start, start + size), slice(0, max(0, start + min(size, count) - count))]

    def window(column: Tensor) -> Tensor:
        return torch.cat([column[part] for part in parts]) if parts[1].stop else column[parts[0]]

    return StoredSample(window(pool.vectors), window(pool.labels), window(pool.items))
