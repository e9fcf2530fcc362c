"""What a step of training sees: items, their stored vectors, a sample of stored rows, unlabelled items."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from skipfill.compat.method import AlignBatch, Batch, StoredSample
from skipfill.compat.prepared import Prepared

NO_FEATURES = torch.empty(0)


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
        align: unlabelled items with their stored vectors (A, d) and their place in the pool (A,) or -1.
        validation: which of the N items are not trained on, and choose the epoch; None for none.
    """

    items: Prepared
    labels: Tensor
    old: Tensor | None = None
    has_old: Tensor | None = None
    pool: StoredSample | None = None
    teacher: Tensor | None = None
    align: tuple[Prepared, Tensor, Tensor] | None = None
    validation: Tensor | None = None

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
    data: TrainingData, rows: Tensor, count: int, *, sample: int = 0, align: int = 0
) -> Iterator[tuple[Tensor, Batch]]:
    """A batch of these rows in `count` parts: the items, the unlabelled ones last, and all but their features.

    Args:
        rows: (B,) items.
        sample: stored rows drawn, the same for all parts; 0 for none.
        align: unlabelled items drawn, when there are any.
    """
    stored, start = _sample(data.pool, sample)
    chosen = None
    if align and data.align is not None:
        chosen = torch.randint(len(data.align[0]), (align,))
    for number, part in enumerate(torch.tensor_split(rows, count)):
        own = None if chosen is None else torch.tensor_split(chosen, count)[number]
        yield _inputs(data, part, own), _batch(data, part, own, stored, start)


def _inputs(data: TrainingData, rows: Tensor, chosen: Tensor | None) -> Tensor:
    inputs = data.items.batch(rows)
    if chosen is None or data.align is None:
        return inputs
    # One pass over both, so that batch norm sees one distribution.
    return torch.cat([inputs, data.align[0].batch(chosen)])


def _batch(data: TrainingData, rows: Tensor, chosen: Tensor | None, stored: StoredSample | None, start: int) -> Batch:
    align = None
    if chosen is not None and data.align is not None:
        _, vectors, places = data.align
        align = AlignBatch(NO_FEATURES, vectors[chosen], _positions(places[chosen], start, data.pool, stored))
    return Batch(
        features=NO_FEATURES,
        labels=data.labels[rows],
        items=rows,
        old=None if data.old is None else data.old[rows],
        has_old=None if data.has_old is None else data.has_old[rows],
        sample=stored,
        teacher=None if data.teacher is None else data.teacher[rows],
        align=align,
    )


def _sample(pool: StoredSample | None, size: int) -> tuple[StoredSample | None, int]:
    """Stored rows in a row, in a pool that is in random order: a view, where a gather would copy megabytes a step."""
    if pool is None or not size:
        return None, 0
    count = len(pool.vectors)
    start = int(torch.randint(count, ())) if size < count else 0
    parts = [slice(start, start + size), slice(0, max(0, start + min(size, count) - count))]

    def window(column: Tensor) -> Tensor:
        return torch.cat([column[part] for part in parts]) if parts[1].stop else column[parts[0]]

    return StoredSample(window(pool.vectors), window(pool.labels), window(pool.items)), start


def _positions(places: Tensor, start: int, pool: StoredSample | None, stored: StoredSample | None) -> Tensor:
    """Where in the drawn sample each pool place ended up, or -1."""
    if pool is None or stored is None:
        return torch.full_like(places, -1)
    found = (places - start) % len(pool.vectors)
    return torch.where((places >= 0) & (found < len(stored.vectors)), found, -1)
