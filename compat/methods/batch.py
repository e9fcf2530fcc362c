"""Inputs of a training step: a batch of items, and the gallery as training sees it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from skipfill.compat.methods.losses.prototypes import ABSENT


@dataclass(frozen=True)
class GallerySample:
    """S stored rows of the gallery, drawn at random.

    Attributes:
        vectors: (S, d) L2-normalised.
        labels: (S,) int64 class, or -1 when it is none of the training classes (or has no label).
        items: (S,) index of the training item that the row stores, or -1.
    """

    vectors: Tensor
    labels: Tensor
    items: Tensor


@dataclass(frozen=True)
class ClassRows:
    """K stored rows of the class of each item.

    Attributes:
        vectors: (B, K, d) L2-normalised.
        stand_for: (B, K) how many rows of the gallery each stands for, as a multiple of those that a row of the sample
            stands for. 0 for the item's own row, and for places that are left over if the class has fewer than K rows.
    """

    vectors: Tensor
    stand_for: Tensor


@dataclass(frozen=True)
class OldSpace:
    """The gallery's space as training sees it.

    Attributes:
        dim: d, of the stored vectors.
        prototypes: (C, d) mean stored vector of each class; zeros where the gallery has none.
        counts: (C,) stored rows of each class.
        pool: a uniform sample of the stored rows, in random order, without the rows of items that were held out for
            checks.
    """

    dim: int
    prototypes: Tensor
    counts: Tensor
    pool: GallerySample

    @property
    def present(self) -> Tensor:
        """(C,) bool, whether the class has stored rows."""
        return self.counts > 0

    @cached_property
    def present_prototypes(self) -> Tensor:
        """(C', d) prototypes of the classes that have stored rows."""
        return self.prototypes[self.present]

    @cached_property
    def places(self) -> Tensor:
        """(C,) int64 position of each class's prototype among the present ones; `ABSENT` for a class without one."""
        return torch.where(self.present, self.present.cumsum(0) - 1, ABSENT)


@dataclass(frozen=True)
class Pairs:
    """A items with their stored vectors.

    Attributes:
        old: (A, d) L2-normalised stored vectors, training items and unlabelled ones.
        augmented: number of items that are augmented: half of the training items and half of the unlabelled ones, each
            rounded down. They come first.
    """

    old: Tensor
    augmented: int = 0


@dataclass(frozen=True)
class Unlabelled:
    """Items of the gallery without labels, in random order.

    Attributes:
        old: (A, d) L2-normalised stored vectors.
        labels: (A,) int64 class of the stored row, -1 for none of the training classes.
    """

    old: Tensor
    labels: Tensor


@dataclass(frozen=True)
class UnlabelledFeatures(Unlabelled):
    """Unlabelled items of the gallery with their features.

    Attributes:
        features: (A, F) features of the items without augmentation, by the trained encoder.
    """

    features: Tensor


@dataclass(frozen=True)
class Batch:
    """One training step's input to the loss terms.

    Attributes:
        encoded: (B + A, F) encoder output, that of the pairs last.
        labels: (B,) int64.
        old: (B, d) L2-normalised stored vectors, zeros where `has_old` is False; None without a gallery, and for
            methods that take a sample of its rows.
        has_old: (B,) bool.
        sample: S stored rows, the same for all items of the step; None for methods that do not need them.
        own_class_rows: stored rows of each item's class; None if `sample` is None.
        teacher: (B, D') L2-normalised embeddings by the teacher of the items without augmentation; None without one.
        pairs: items with their stored vectors; None if the method needs no pairs and there are no unlabelled items.
    """

    encoded: Tensor
    labels: Tensor
    old: Tensor | None = None
    has_old: Tensor | None = None
    sample: GallerySample | None = None
    own_class_rows: ClassRows | None = None
    teacher: Tensor | None = None
    pairs: Pairs | None = None

    @property
    def as_they_are(self) -> int:
        """The number of items that are not augmented; they are the last ones."""
        return 0 if self.pairs is None else len(self.pairs.old) - self.pairs.augmented

    @property
    def features(self) -> Tensor:
        """(B, F) features of the items."""
        return self.encoded[: len(self.labels)]

    @property
    def features_of_pairs(self) -> Tensor:
        """(A, F) features of the pairs."""
        return self.encoded[len(self.labels) :]
