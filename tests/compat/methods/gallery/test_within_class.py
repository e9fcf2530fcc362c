"""Directions that say little about the class: against loops over the definition, and on classes not seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from skipfill.compat.methods.batch import GallerySample
from skipfill.compat.methods.gallery.within_class import FOLDS, MILDNESSES, within_class_map
from skipfill.compat.nn.normalize import unit

pytestmark = pytest.mark.usefixtures("double_precision")
DIM = 16


def rows(classes: int, each: int, disturbed: float) -> GallerySample:
    """Rows of classes around their centres; along two directions, the same for all, they differ more."""
    labels = torch.arange(classes * each) % classes
    noise = 0.6 * torch.randn(len(labels), DIM)
    noise[:, :2] += disturbed * torch.randn(len(labels), 2)
    return stored(unit(torch.randn(classes, DIM)[labels] + noise), labels)


def stored(vectors: Tensor, labels: Tensor) -> GallerySample:
    return GallerySample(vectors, labels, torch.full_like(labels, -1))


def found(vectors: Tensor, labels: Tensor, matrix: Tensor) -> float:
    """CMC@1 of rows among the others."""
    products = (vectors @ matrix) @ vectors.T
    return float((labels[products.fill_diagonal_(-math.inf).argmax(dim=1)] == labels).double().mean())


def slow_map(vectors: np.ndarray, labels: np.ndarray, mildness: float) -> np.ndarray:
    within = np.zeros((DIM, DIM))
    for label in set(labels.tolist()):
        mine = vectors[labels == label]
        for row in mine:
            within += np.outer(row - mine.mean(axis=0), row - mine.mean(axis=0))
    return np.linalg.inv(within / (mildness * np.trace(within) / DIM) + np.eye(DIM))


def slow_hits(some: GallerySample, *, folds: bool = True) -> dict[float, np.ndarray]:
    """Of each c, which rows of known classes find one of their class, by the rows of other folds."""
    vectors, labels = some.vectors.numpy(), some.labels.numpy()
    asked = np.flatnonzero(labels >= 0)
    hits = {mildness: np.zeros(len(asked)) for mildness in MILDNESSES}
    for mildness in MILDNESSES:
        for fold in range(FOLDS):
            others = (labels >= 0) & ((labels % FOLDS != fold) | (not folds))
            matrix = slow_map(vectors[others], labels[others], mildness)
            for place, row in enumerate(asked):
                if labels[row] % FOLDS == fold:
                    scores = vectors @ matrix @ vectors[row]
                    scores[(vectors == vectors[row]).all(axis=1)] = -math.inf
                    hits[mildness][place] = labels[scores.argmax()] == labels[row]
    return hits


def best(hits: dict[float, np.ndarray]) -> float:
    return max(MILDNESSES, key=lambda one: hits[one].mean())


def mildest(hits: dict[float, np.ndarray]) -> float:
    for mildness in MILDNESSES:
        worse = hits[best(hits)] - hits[mildness]
        if worse.mean() <= worse.std() / math.sqrt(len(worse)):
            return mildness
    raise AssertionError


def test_the_map_is_that_of_the_definition() -> None:
    torch.manual_seed(11)
    some = rows(32, 8, disturbed=2.0)
    # Two classes that nobody labelled, and one row that is stored twice.
    labels = torch.where(some.labels % 16 == 3, -1, some.labels)
    some = stored(torch.cat([some.vectors, some.vectors[:1]]), torch.cat([labels, labels[:1]]))
    hits = slow_hits(some)
    expected = mildest(hits)
    known = some.labels >= 0
    # With this seed it matters that a standard error counts, that there are folds, that strange rows are in the way.
    alone = stored(some.vectors[known], some.labels[known])
    others = best(hits), mildest(slow_hits(some, folds=False)), mildest(slow_hits(alone)), math.inf
    assert expected not in others
    matrix = within_class_map(some)
    assert matrix is not None
    slow = slow_map(some.vectors[known].numpy(), some.labels[known].numpy(), expected)
    np.testing.assert_allclose(matrix.numpy(), slow, atol=1e-9)


def test_classes_that_it_has_not_seen_are_found_more_often() -> None:
    some = rows(60, 10, disturbed=3.0)
    known = some.labels < 40
    matrix = within_class_map(stored(some.vectors, torch.where(known, some.labels, -1)))
    assert matrix is not None
    vectors, labels = some.vectors[~known], some.labels[~known]
    before, after = found(vectors, labels, torch.eye(DIM)), found(vectors, labels, matrix)
    assert after > before + 0.05, (before, after)


def test_where_nothing_is_to_be_gained_there_is_no_map() -> None:
    centres = torch.eye(DIM)[torch.arange(64) % 8]
    assert within_class_map(stored(unit(centres + 0.05 * torch.randn(64, DIM)), torch.arange(64) % 8)) is None


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_few_rows(classes: int) -> None:
    vectors = unit(torch.randn(6, DIM))
    labels = torch.arange(6) % classes
    for some in (vectors, vectors.float(), vectors[labels]):  # the last: rows of a class are equal
        matrix = within_class_map(stored(some, labels))
        assert matrix is None or bool(matrix.isfinite().all())
    assert within_class_map(stored(vectors[labels], labels)) is None
    assert within_class_map(stored(vectors, torch.zeros_like(labels))) is None
    assert within_class_map(stored(vectors, torch.full_like(labels, -1))) is None
    assert within_class_map(stored(vectors[:0], labels[:0])) is None
