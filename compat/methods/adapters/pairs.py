"""Pairs of vectors of the same items, new and stored: their sums over all pairs, and a sample in memory."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

ROWS_AT_ONCE = 4_096  # rows that are converted to float64 at a time


class PairSums:
    """Sums and cross-products over pairs, in float64: all that a linear map is fitted from, for any number of pairs.

    Args:
        dim_new, dim_old: D and d.
        with_new: whether to sum the outer products of new vectors with themselves too. They cost D / d times as much as
            those with the stored vectors.

    Attributes:
        count: number of pairs.
        new, old: (D,) and (d,) sums of the vectors.
        new_old: (D, d) sum of the outer products of each pair.
        new_new: (D, D) the same of new vectors with themselves; zeros without `with_new`.
        new_squares, old_squares: sums of the squared lengths.
    """

    def __init__(self, dim_new: int, dim_old: int, *, with_new: bool = True) -> None:
        self.count = 0
        self.with_new = with_new
        self.new = torch.zeros(dim_new, dtype=torch.float64)
        self.old = torch.zeros(dim_old, dtype=torch.float64)
        self.new_old = torch.zeros(dim_new, dim_old, dtype=torch.float64)
        self.new_new = torch.zeros(dim_new, dim_new, dtype=torch.float64)
        self.new_squares = 0.0
        self.old_squares = 0.0

    def add(self, new: Tensor, old: Tensor, sign: int = 1) -> None:
        """Add M pairs: (M, D) and (M, d), float32; or remove pairs that were added, with a sign of -1."""
        for start in range(0, len(new), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            u, v = new[part].double(), old[part].double()
            self.count += sign * len(u)
            self.new.add_(u.sum(dim=0), alpha=sign)
            self.old.add_(v.sum(dim=0), alpha=sign)
            self.new_old.addmm_(u.T, v, alpha=sign)
            if self.with_new:
                self.new_new.addmm_(u.T, u, alpha=sign)
            self.new_squares += sign * torch.dot(u.flatten(), u.flatten()).item()
            self.old_squares += sign * torch.dot(v.flatten(), v.flatten()).item()

    def copy(self) -> PairSums:
        """A copy of the sums that can be added to."""
        return deepcopy(self)

    @property
    def dims(self) -> tuple[int, int]:
        """D and d."""
        return len(self.new), len(self.old)

    @property
    def mean_new(self) -> Tensor:
        """(D,) mean new vector."""
        return self.new / self.count

    @property
    def mean_old(self) -> Tensor:
        """(d,) mean stored vector."""
        return self.old / self.count

    @property
    def covariance(self) -> Tensor:
        """(D, D) covariance of the new vectors."""
        return self.new_new / self.count - torch.outer(self.mean_new, self.mean_new)

    @property
    def cross_covariance(self) -> Tensor:
        """(D, d) covariance of the new vectors with the stored ones."""
        return self.new_old / self.count - torch.outer(self.mean_new, self.mean_old)

    @property
    def variance_new(self) -> float:
        """Mean squared distance of the new vectors from their mean."""
        return self.new_squares / self.count - float(self.mean_new.square().sum())

    @property
    def variance_old(self) -> float:
        """Mean squared distance of the stored vectors from their mean."""
        return self.old_squares / self.count - float(self.mean_old.square().sum())


@dataclass(frozen=True)
class PairSample:
    """S pairs drawn at random, or all there are.

    Attributes:
        new: (S, D) float32, L2-normalised.
        old: (S, d) float32, L2-normalised stored vectors.
        labels: (S,) int64 class of each, -1 for none; None if there are no labels at all.
    """

    new: Tensor
    old: Tensor
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.new)

    @property
    def has_labels(self) -> bool:
        """Whether any pair has a label."""
        return self.labels is not None and bool((self.labels >= 0).any())

    def at(self, rows: Tensor) -> PairSample:
        """Some of the pairs, chosen by (M,) positions or an (S,) bool mask."""
        return PairSample(self.new[rows], self.old[rows], None if self.labels is None else self.labels[rows])


@dataclass(frozen=True)
class Pairs:
    """The pairs that a map is fitted to.

    Attributes:
        sums: over all of them.
        sample: some of them, or all.
    """

    sums: PairSums
    sample: PairSample

    @classmethod
    def of(cls, new: Tensor, old: Tensor, labels: Tensor | None = None) -> Pairs:
        """Pairs that are in memory: (N, D) and (N, d), L2-normalised, and perhaps (N,) classes."""
        sums = PairSums(new.shape[1], old.shape[1])
        sums.add(new, old)
        return cls(sums, PairSample(new, old, labels))

    def without(self, rows: Tensor) -> Pairs:
        """All pairs except some of the sample, which an (S,) bool mask marks."""
        left_out, sums = self.sample.at(rows), self.sums.copy()
        sums.add(left_out.new, left_out.old, -1)
        return replace(self, sums=sums, sample=self.sample.at(~rows))
