"""Temperatures against a slow leave-one-out scan, and in spaces of different width."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from skipfill.compat.methods.batch import GallerySample, OldSpace
from skipfill.compat.methods.gallery.temperature import CANDIDATES, prototype_temperature, row_temperature
from skipfill.compat.nn.normalize import unit

CLASSES, PER_CLASS, DIM = 6, 12, 8


def space(noise: float, offset: float = 0.0) -> OldSpace:
    """Clusters of `noise` around random centres, all of it moved by `offset` along one axis: a narrow cone."""
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(CLASSES).repeat_interleave(PER_CLASS)
    centres = torch.randn(CLASSES, DIM, generator=random)
    vectors = centres[labels] + noise * torch.randn(len(labels), DIM, generator=random)
    vectors[:, 0] += offset
    vectors = unit(vectors)
    means = torch.stack([vectors[labels == one].mean(dim=0) for one in range(CLASSES)])
    pool = GallerySample(vectors, labels, torch.arange(len(labels)))
    return OldSpace(DIM, means, torch.full((CLASSES,), PER_CLASS), pool)


def neighbours_loss(vectors: list[list[float]], labels: list[int], tau: float) -> float:
    total = 0.0
    for i, own in enumerate(vectors):
        weights = [
            math.exp((sum(a * b for a, b in zip(own, other, strict=True)) - 1) / tau) if j != i else 0.0
            for j, other in enumerate(vectors)
        ]
        near = sum(weight for weight, label in zip(weights, labels, strict=True) if label == labels[i])
        total -= math.log(near / sum(weights))
    return total / len(vectors)


def test_the_temperature_of_rows_is_the_best_of_a_slow_scan() -> None:
    old = space(1.0)
    vectors, labels = old.pool.vectors.double().tolist(), old.pool.labels.tolist()
    candidates = [tau for tau in CANDIDATES if tau > 0.01]
    losses = {tau: neighbours_loss(vectors, labels, tau) for tau in candidates}
    assert row_temperature(old.pool) == min(losses, key=lambda tau: losses[tau])


def test_the_temperature_of_means_is_the_best_of_a_slow_scan() -> None:
    old = space(1.0)
    losses: dict[float, float] = {}
    for tau in CANDIDATES:
        total = torch.zeros(())
        for i, label in enumerate(old.pool.labels.tolist()):
            rest = torch.arange(len(old.pool.labels)) != i
            means: list[Tensor] = [
                unit(old.pool.vectors[rest & (old.pool.labels == one)].mean(dim=0)) for one in range(CLASSES)
            ]
            total -= (torch.stack(means) @ old.pool.vectors[i] / tau).log_softmax(dim=0)[label]
        losses[tau] = float(total)
    assert prototype_temperature(old) == min(losses, key=lambda tau: losses[tau])


@pytest.mark.parametrize("of", [lambda old: row_temperature(old.pool), prototype_temperature])
def test_a_narrower_space_has_a_lower_temperature(of) -> None:  # type: ignore[no-untyped-def]
    """Vectors of length 4 moved by 20: angles shrink to a fifth, and what cosines differ by to a 25th."""
    wide, narrow = of(space(1.0)), of(space(1.0, offset=20.0))
    assert wide / 100 < narrow < wide / 10


def test_no_class_in_common_is_no_error() -> None:
    old = space(1.0)
    pool = GallerySample(old.pool.vectors, torch.full_like(old.pool.labels, -1), old.pool.items)
    assert row_temperature(pool) == 2.0
    assert prototype_temperature(OldSpace(DIM, old.prototypes, old.counts, pool)) == 2.0
