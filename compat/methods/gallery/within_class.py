"""A map that weakens the directions of the old space in which stored rows of one class differ most."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from skipfill.compat.methods.batch import GallerySample
from skipfill.compat.methods.gallery.memory import ASKED, SAME
from skipfill.compat.nn.principal_axes import principal_axes
from skipfill.compat.nn.selection import simplest_near_best

# Candidates for c, the mildest first: the larger c, the nearer M is to I.
MILDNESSES = (math.inf, 100.0, 50.0, 30.0, 20.0, 14.0, 10.0, 7.0, 5.0, 3.0)
FOLDS = 4  # folds of classes in the cross-validation


def within_class_map(rows: GallerySample) -> Tensor | None:
    """M = (W / (c v) + I)^-1, (d, d) float64: weakens the directions in which rows of one class differ most.

    None stands for I. W is the covariance of stored rows within their classes, and v its mean eigenvalue. A query then
    searches with n(M u) instead of u. Only queries are mapped: the rows stay as they are stored.

    c is chosen by cross-validation over classes: rows of known classes search for other rows of their class, with an M
    that was made from the other classes. The largest c that finds them nearly as often as the best c is taken
    (`simplest_near_best`). M is I if no two rows of one class differ, or if only one class is known.

    Source: after the within-class covariance normalisation of Hatch, Kajarekar and Stolcke 2006.
    """
    known = rows.labels >= 0
    vectors, labels = rows.vectors[known].double(), rows.labels[known]
    if not (labels != labels[:1]).any():
        return None
    differences = vectors - _class_means(vectors, labels)[labels]
    if differences.abs().max() <= SAME:  # by rounding
        return None
    mildness = _mildness(rows, differences, labels)
    return None if math.isinf(mildness) else _Axes(differences).map(mildness)


class _Axes:
    """Principal directions of (N, d) differences between rows and the mean of their class.

    Attributes:
        variances: (d,) variance along each direction, as a multiple of the mean.
        directions: (d, d), a column for each direction.
    """

    def __init__(self, differences: Tensor) -> None:
        variances, self.directions = principal_axes(differences, differences.shape[1])
        self.variances = variances / variances.mean().clamp(min=torch.finfo(torch.float64).tiny)

    def kept(self, mildness: float) -> Tensor:
        """(d,) factor by which M scales each direction."""
        kept: Tensor = 1 / (self.variances / mildness + 1)
        return kept

    def map(self, mildness: float) -> Tensor:
        found: Tensor = (self.directions * self.kept(mildness)) @ self.directions.T
        return found


def _class_means(vectors: Tensor, labels: Tensor) -> Tensor:
    """(C, d) mean of each class; zeros for a class without rows."""
    sums = vectors.new_zeros(int(labels.max()) + 1, vectors.shape[1]).index_add_(0, labels, vectors)
    return sums / torch.bincount(labels).clamp(min=1)[:, None]


def _mildness(rows: GallerySample, differences: Tensor, labels: Tensor) -> float:
    """c, by cross-validation over classes.

    Args:
        differences, labels: of the rows of known classes.
    """
    asked, wanted = rows.vectors[rows.labels >= 0][:ASKED], labels[:ASKED]
    itself = asked @ rows.vectors.T > 1 - SAME
    hits = differences.new_zeros(len(MILDNESSES), len(asked))
    for fold in range(FOLDS):
        mine, others = wanted % FOLDS == fold, labels % FOLDS != fold
        if not mine.any() or not others.any():
            continue
        axes = _Axes(differences[others])
        queries, stored = (one @ axes.directions.to(one) for one in (asked[mine], rows.vectors))
        for place, mildness in enumerate(MILDNESSES):
            products = (queries * axes.kept(mildness).to(queries)) @ stored.T
            nearest = products.masked_fill(itself[mine], -torch.inf).argmax(dim=1)
            hits[place, mine] = (rows.labels[nearest] == wanted[mine]).double()
    return MILDNESSES[simplest_near_best(hits)]
