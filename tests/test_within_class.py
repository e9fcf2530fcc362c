"""Which directions say little about the class: against loops over the definition, and on classes not seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from skipfill.compat.batch import StoredSample
from skipfill.compat.method import unit
from skipfill.compat.within_class import FOLDS, SHRINKAGES, WithinClass

pytestmark = pytest.mark.usefixtures("double_precision")


def rows(classes: int, each: int, disturbed: float, dim: int = 16) -> StoredSample:
    """Rows of classes around their centres; along two directions, the same for all, they differ more."""
    labels = torch.arange(classes * each) % classes
    noise = 0.6 * torch.randn(len(labels), dim)
    noise[:, :2] += disturbed * torch.randn(len(labels), 2)
    centres = torch.randn(classes, dim)
    return StoredSample(unit(centres[labels] + noise), labels, torch.full_like(labels, -1))


def found(vectors: Tensor, labels: Tensor, matrix: Tensor) -> float:
    """CMC@1 of rows among the others."""
    cosines = (vectors @ matrix) @ vectors.T
    return float((labels[cosines.fill_diagonal_(-math.inf).argmax(dim=1)] == labels).double().mean())


def slow_map(vectors: np.ndarray, labels: np.ndarray, shrinkage: float) -> np.ndarray:
    within = np.zeros((vectors.shape[1], vectors.shape[1]))
    for label in set(labels.tolist()):
        mine = vectors[labels == label]
        for row in mine:
            within += np.outer(row - mine.mean(axis=0), row - mine.mean(axis=0))
    mean = np.trace(within) / len(within)
    return np.linalg.inv(within / (shrinkage * mean) + np.eye(len(within)))


def slow_learn(stored: StoredSample) -> np.ndarray:
    vectors, labels = stored.vectors.numpy(), stored.labels.numpy()
    known = labels >= 0
    hits = {shrinkage: [] for shrinkage in SHRINKAGES}
    for row in np.flatnonzero(known):
        others = known & (labels % FOLDS != labels[row] % FOLDS)
        for shrinkage in SHRINKAGES:
            scores = vectors @ slow_map(vectors[others], labels[others], shrinkage) @ vectors[row]
            scores[(vectors == vectors[row]).all(axis=1)] = -math.inf
            hits[shrinkage].append(float(labels[scores.argmax()] == labels[row]))
    best = max(SHRINKAGES, key=lambda one: np.mean(hits[one]))
    for shrinkage in SHRINKAGES:
        worse = np.array(hits[best]) - np.array(hits[shrinkage])
        if worse.mean() <= worse.std() / math.sqrt(len(worse)):
            return slow_map(vectors[known], labels[known], shrinkage)
    raise AssertionError


@pytest.mark.parametrize("disturbed", [0.0, 3.0])
def test_the_map_is_that_of_the_definition(disturbed: float) -> None:
    stored = rows(10, 6, disturbed)
    # Some rows of a class that nobody labelled, and one that is stored twice.
    labels = torch.where(stored.labels == 3, -1, stored.labels)
    stored = StoredSample(torch.cat([stored.vectors, stored.vectors[:1]]), torch.cat([labels, labels[:1]]), labels)
    one = WithinClass(16)
    one.learn(stored)
    np.testing.assert_allclose(one.matrix.numpy(), slow_learn(stored), atol=1e-9)
    queries = unit(torch.randn(5, 16))
    torch.testing.assert_close(one(queries), unit(queries @ one.matrix))


def test_classes_that_it_has_not_seen_are_found_more_often() -> None:
    stored = rows(60, 10, disturbed=3.0)
    known = stored.labels < 40
    one = WithinClass(16)
    one.learn(StoredSample(stored.vectors, torch.where(known, stored.labels, -1), stored.items))
    vectors, labels = stored.vectors[~known], stored.labels[~known]
    before, after = found(vectors, labels, torch.eye(16)), found(vectors, labels, one.matrix)
    assert after > before + 0.05, (before, after)


def test_where_there_is_nothing_to_gain_everything_stays_as_it_is() -> None:
    one, alone = WithinClass(16), WithinClass(16)
    centres = torch.eye(16)[torch.arange(64) % 8]
    one.learn(StoredSample(unit(centres + 0.05 * torch.randn(64, 16)), torch.arange(64) % 8, torch.zeros(64)))
    torch.testing.assert_close(one.matrix, torch.eye(16))
    stored = rows(40, 1, disturbed=3.0)  # no two of a class
    alone.learn(stored)
    assert torch.equal(alone.matrix, torch.eye(16))
    alone.learn(StoredSample(stored.vectors, torch.full_like(stored.labels, -1), stored.items))
    assert torch.equal(alone.matrix, torch.eye(16))
    alone.learn(StoredSample(stored.vectors, torch.zeros_like(stored.labels), stored.items))  # one class
    assert torch.equal(alone.matrix, torch.eye(16))
