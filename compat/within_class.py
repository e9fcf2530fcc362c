"""Which directions of the old space say little about an item's class, as the stored rows of known classes tell."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from skipfill.compat.batch import StoredSample
from skipfill.compat.memory import ASKED, SAME
from skipfill.compat.method import unit

SHRINKAGES = (math.inf, 100.0, 50.0, 30.0, 20.0, 14.0, 10.0, 7.0, 5.0, 3.0)
FOLDS = 4  # of classes, by turns


class WithinClass(nn.Module):
    """u -> n(M u),  M = (W / (c v) + I)^-1: less of the directions in which rows of one class differ most.

    W is the covariance of stored rows within their classes, v its mean eigenvalue. Queries alone are mapped: the rows
    stay as they are stored. M is I before `learn`.

    c is found by rows of known classes that look for others of their class by M of the rows of other classes: an
    encoder disturbs classes that it was not trained on much as it does others. It is the largest one that finds them
    nearly as often as the best one does, nearly being a standard error of the difference (Breiman et al. 1984).

    Source: Hatch, Kajarekar and Stolcke 2006, with W shrunk; on one side of the product, and c by cross-validation.
    """

    matrix: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.zeros(dim, dim).fill_diagonal_(1))

    def forward(self, vectors: Tensor) -> Tensor:
        """(N, d) -> (N, d), L2-normalised."""
        return unit(vectors @ self.matrix)

    def learn(self, rows: StoredSample) -> None:
        """Find M; I, where no two rows of one class differ, or only one class is known."""
        known = rows.labels >= 0
        vectors, labels = rows.vectors[known].double(), rows.labels[known]
        found = torch.eye(len(self.matrix), dtype=torch.float64)
        if (labels != labels[:1]).any():
            differences = vectors - _class_means(vectors, labels)[labels]
            if differences.abs().max() > SAME:
                found = _Axes(differences).scaled(_shrinkage(rows, differences, labels))
        self.matrix = found.to(self.matrix)


class _Axes:
    """Principal directions of (N, d) differences of rows to the mean of their class.

    Attributes:
        variances: (d,) along them, as multiples of the mean.
        directions: (d, d), one a column.
    """

    def __init__(self, differences: Tensor) -> None:
        variances, self.directions = torch.linalg.eigh(differences.T @ differences)
        self.variances = variances / variances.mean().clamp(min=torch.finfo(torch.float64).tiny)

    def kept(self, shrinkage: float) -> Tensor:
        """(d,) what M leaves of each direction."""
        kept: Tensor = 1 / (self.variances / shrinkage + 1)
        return kept

    def scaled(self, shrinkage: float) -> Tensor:
        """(d, d) M."""
        scaled: Tensor = (self.directions * self.kept(shrinkage)) @ self.directions.T
        return scaled


def _class_means(vectors: Tensor, labels: Tensor) -> Tensor:
    """(C, d); zeros for a class without rows."""
    sums = vectors.new_zeros(int(labels.max()) + 1, vectors.shape[1]).index_add_(0, labels, vectors)
    return sums / torch.bincount(labels).clamp(min=1)[:, None]


def _shrinkage(rows: StoredSample, differences: Tensor, labels: Tensor) -> float:
    """c, by cross-validation over classes.

    Args:
        differences, labels: of the rows of known classes.
    """
    asked, wanted = rows.vectors[rows.labels >= 0][:ASKED], labels[:ASKED]
    itself = asked @ rows.vectors.T > 1 - SAME
    hits = differences.new_zeros(len(SHRINKAGES), len(asked))
    for fold in range(FOLDS):
        mine, others = wanted % FOLDS == fold, labels % FOLDS != fold
        if not mine.any() or not others.any():
            continue
        axes = _Axes(differences[others])
        turned, places = (one @ axes.directions.to(one) for one in (asked[mine], rows.vectors))
        for turn, shrinkage in enumerate(SHRINKAGES):
            cosines = (turned * axes.kept(shrinkage).to(turned)) @ places.T
            found = cosines.masked_fill(itself[mine], -torch.inf).argmax(dim=1)
            hits[turn, mine] = (rows.labels[found] == wanted[mine]).double()
    worse = hits[hits.mean(dim=1).argmax()] - hits
    error = worse.std(dim=1, correction=0) / math.sqrt(len(asked))
    return SHRINKAGES[int((worse.mean(dim=1) <= error).nonzero()[0])]
