"""The items of a training as tensors, with what the gallery stores for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from skipfill.compat.encoders.prepared import Prepared
from skipfill.compat.methods.batch import GallerySample, Unlabelled
from skipfill.compat.training.data.class_rows import RowsOfClasses


@dataclass(frozen=True)
class UnlabelledItems(Unlabelled):
    """Unlabelled items of the gallery to train on.

    Attributes:
        items: A prepared items.
    """

    items: Prepared

    @cached_property
    def strange(self) -> Tensor:
        """Positions of the items whose stored row is of no training class."""
        return (self.labels < 0).nonzero().flatten()

    def first(self, count: int) -> UnlabelledItems:
        """At most the first `count`."""
        return UnlabelledItems(self.old[:count], self.labels[:count], Prepared(self.items.items[:count]))


@dataclass(frozen=True)
class TrainingData:
    """The items of a training, and all that batches are drawn from.

    Attributes:
        items: N prepared items.
        labels: (N,) int64.
        old: (N, d) stored vectors, L2-normalised; None without a gallery.
        has_old: (N,) bool.
        pool: stored rows to draw samples from, in random order.
        teacher: (N, D') embeddings of the teacher.
        unlabelled: items of the gallery without labels; None for none.
        validation: positions of the items that are held out to choose the epoch; None for none.
    """

    items: Prepared
    labels: Tensor
    old: Tensor | None = None
    has_old: Tensor | None = None
    pool: GallerySample | None = None
    teacher: Tensor | None = None
    unlabelled: UnlabelledItems | None = None
    validation: Tensor | None = None

    @cached_property
    def stored(self) -> Tensor:
        """Positions of the training items that have a stored vector."""
        if self.has_old is None:
            return torch.empty(0, dtype=torch.long)
        return self.trained[self.has_old[self.trained]]

    @cached_property
    def by_class(self) -> RowsOfClasses:
        """The pool, sorted by class."""
        assert self.pool is not None
        return RowsOfClasses(self.pool)

    @property
    def trained(self) -> Tensor:
        """Positions of the items that are trained on: all but those held out."""
        trained = torch.ones(len(self.items), dtype=torch.bool)
        if self.validation is not None:
            trained[self.validation] = False
        return trained.nonzero().flatten()
