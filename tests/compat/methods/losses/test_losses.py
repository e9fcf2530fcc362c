"""Every loss against a slow re-derivation of its formula, one item at a time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from skipfill.compat.methods.batch import GallerySample
from skipfill.compat.methods.losses.alignment import cosine_alignment
from skipfill.compat.methods.losses.information import SameClass, stored_information
from skipfill.compat.methods.losses.neighbours import stored_neighbours
from skipfill.compat.methods.losses.prototypes import ABSENT, prototype_cross_entropy
from skipfill.compat.methods.losses.rankings import ranking_divergence
from skipfill.compat.methods.losses.refresh import refresh_contrast
from skipfill.compat.methods.simplex import simplex_vertices
from skipfill.compat.nn.normalize import unit
from skipfill.compat.training.data.class_rows import RowsOfClasses


def random_unit(rows: int, dim: int, seed: int) -> Tensor:
    return unit(torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_prototype_cross_entropy(smoothing: float) -> None:
    compat, prototypes = random_unit(6, 5, 0), random_unit(4, 5, 1) * 0.7
    present = torch.tensor([True, False, True, True])
    labels = torch.tensor([0, 1, 2, 3, 3, 0])
    own = torch.tensor([0, ABSENT, 1, 2])[labels]
    found = prototype_cross_entropy(compat, prototypes[present], own, scale=7.0, smoothing=smoothing)
    losses = []
    for vector, label in zip(compat.tolist(), labels.tolist(), strict=True):
        if not present[label]:
            continue
        logits = {c: 7 * sum(a * b for a, b in zip(vector, prototypes[c].tolist(), strict=True)) for c in (0, 2, 3)}
        total = math.log(sum(math.exp(value) for value in logits.values()))
        logs = {c: value - total for c, value in logits.items()}
        losses.append(-(1 - smoothing) * logs[label] - smoothing * sum(logs.values()) / 3)
    assert found.item() == pytest.approx(sum(losses) / len(losses), abs=1e-9)


@pytest.mark.parametrize("classes", [0, 2])
def test_prototype_cross_entropy_without_any_present_class_is_zero(classes: int) -> None:
    compat = random_unit(3, 5, 0).requires_grad_()
    loss = prototype_cross_entropy(compat, random_unit(classes, 5, 1), torch.full((3,), ABSENT), smoothing=0.1)
    loss.backward()
    assert loss.item() == 0
    assert compat.grad is not None
    assert not compat.grad.any()


def test_cosine_alignment() -> None:
    vectors, targets = random_unit(5, 4, 0) * 3, random_unit(5, 4, 1) * 0.1
    mask = torch.tensor([True, False, True, True, False])
    cosines = [float(a @ b / (a.norm() * b.norm())) for a, b in zip(vectors, targets, strict=True)]
    assert cosine_alignment(vectors, targets).item() == pytest.approx(sum(1 - c for c in cosines) / 5, abs=1e-9)
    chosen = [1 - cosine for cosine, keep in zip(cosines, mask.tolist(), strict=True) if keep]
    assert cosine_alignment(vectors, targets, mask).item() == pytest.approx(sum(chosen) / 3, abs=1e-9)
    assert cosine_alignment(vectors, targets, torch.zeros(5, dtype=torch.bool)).item() == 0


NEIGHBOURS = GallerySample(
    random_unit(9, 6, 1),
    torch.tensor([0, 0, 1, 2, -1, -1, 1, 2, 0]),
    torch.tensor([10, -1, 11, -1, -1, 99, -1, 12, -1]),
)


def slow_neighbours(view: torch.Tensor, label: int, item: int, tau: float) -> float | None:
    """Of one item, over all the rows; None where no other has its class."""
    rows = zip(NEIGHBOURS.vectors, NEIGHBOURS.labels.tolist(), NEIGHBOURS.items.tolist(), strict=True)
    weights = [(math.exp(float(view @ row) / tau), own) for row, own, stored in rows if stored != item]
    near = sum(weight for weight, own in weights if own == label)
    return -math.log(near / sum(weight for weight, _ in weights)) if near else None


def test_stored_neighbours_of_all_rows() -> None:
    views, tau = random_unit(5, 6, 0), 0.1
    labels, items = torch.tensor([0, 1, 2, 0, 7]), torch.tensor([10, 11, 12, 13, 14])
    own = RowsOfClasses(NEIGHBOURS).of(labels, items, 16, 9, start=5)
    same_class = labels[:, None] == NEIGHBOURS.labels
    found = stored_neighbours(views, own.vectors, own.stand_for, NEIGHBOURS.vectors, same_class, tau=tau)
    slow = [slow_neighbours(*one, tau) for one in zip(views, labels.tolist(), items.tolist(), strict=True)]
    losses = [one for one in slow if one is not None]
    assert len(losses) == 4  # class 7 has no row
    assert found.item() == pytest.approx(sum(losses) / 4, abs=1e-9)


def test_stored_neighbours_are_estimated_from_some_rows() -> None:
    """Over all draws, the sums of which the loss is made are on average those of all rows."""
    view, item, label, tau = random_unit(1, 6, 0), torch.tensor([13]), torch.tensor([0]), 0.5
    classes = RowsOfClasses(NEIGHBOURS)
    ratios = []
    for start in range(9):
        window = (start + torch.arange(4)) % 9
        for place in range(60):
            own = classes.of(label, item, 2, 4, start=place)
            near = float((own.stand_for * (own.vectors @ view[0] / tau).exp()).sum())
            same = label[:, None] == NEIGHBOURS.labels[window]
            rows = NEIGHBOURS.vectors[window]
            loss = stored_neighbours(view, own.vectors, own.stand_for, rows, same, tau=tau)
            # exp(loss) = (P + N) / P
            ratios.append((near, near * (math.exp(float(loss)) - 1)))
    all_near = sum(math.exp(float(view[0] @ NEIGHBOURS.vectors[j]) / tau) for j in (0, 1, 8))
    all_far = sum(math.exp(float(view[0] @ NEIGHBOURS.vectors[j]) / tau) for j in (2, 3, 4, 5, 6, 7))
    near, far = (sum(one) / len(ratios) for one in zip(*ratios, strict=True))
    assert near == pytest.approx(all_near * 4 / 9, rel=0.05)
    assert far == pytest.approx(all_far * 4 / 9, rel=1e-6)


def test_stored_neighbours_hold_opposite_vectors_at_any_temperature() -> None:
    views = torch.tensor([[1.0, 0.0]], requires_grad=True)
    rows = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    same_class = torch.tensor([[True, False]])
    loss = stored_neighbours(views, rows[None, :1], torch.ones(1, 1), rows, same_class, tau=0.001)
    loss.backward()
    assert loss.item() == pytest.approx(2000, rel=1e-4)
    assert views.grad is not None
    assert torch.isfinite(views.grad).all()


def test_ranking_divergence() -> None:
    compat, stored, rows = random_unit(3, 6, 0), random_unit(3, 6, 1), random_unit(8, 6, 2)
    total = 0.0
    for i in range(3):
        target = [math.exp(float(stored[i] @ rows[j]) / 0.1) for j in range(8)]
        found = [math.exp(float(compat[i] @ rows[j]) / 0.1) for j in range(8)]
        p, q = [t / sum(target) for t in target], [f / sum(found) for f in found]
        total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert ranking_divergence(compat, stored, rows, tau=0.1).item() == pytest.approx(total / 3, abs=1e-9)


@pytest.mark.parametrize("classes", [2, 3, 10, 1024])
def test_simplex_vertices_are_unit_and_equally_far(classes: int) -> None:
    vertices = simplex_vertices(classes).double()
    expected = torch.full((classes, classes), -1 / (classes - 1), dtype=torch.float64).fill_diagonal_(1)
    assert vertices.shape == (classes, classes - 1)
    torch.testing.assert_close(vertices @ vertices.T, expected, rtol=0, atol=1e-5)


LABELS = torch.tensor([0, 0, 1, 2, 1, 0, 2, 3])
HAS_OLD = torch.tensor([True, True, True, False, True, True, True, True])


@pytest.mark.parametrize("same_class", ["zero", "inf"])
def test_stored_information(same_class: SameClass) -> None:
    new, old = random_unit(8, 5, 0), random_unit(8, 5, 1)
    found = stored_information(new, old, LABELS, HAS_OLD, scale=10.0, same_class=same_class)
    known, losses = [0, 1, 2, 4, 5, 6, 7], []
    for i in known:
        total = 0.0
        for j in known:
            if LABELS[i] != LABELS[j] or (same_class == "inf" and i == j):
                total += math.exp(10 * float(old[i] @ new[j]))
            elif same_class == "zero":
                total += 1.0
        losses.append(math.log(total) - 10 * float(old[i] @ new[i]))
    assert found.item() == pytest.approx(sum(losses) / 7, abs=1e-9)


@pytest.mark.parametrize("hardest", [2, 100])
def test_refresh_contrast(hardest: int) -> None:
    new, old = random_unit(8, 5, 0), random_unit(8, 5, 1) * HAS_OLD[:, None]
    found = refresh_contrast(new, old, LABELS, HAS_OLD, tau=0.05, hardest=hardest)
    losses = []
    for i in (0, 1, 2, 4, 5, 6, 7):
        others = [j for j in range(8) if LABELS[j] != LABELS[i]]
        stored = sorted((float(new[i] @ old[j]) for j in others if HAS_OLD[j]), reverse=True)[:hardest]
        fresh = sorted((float(new[i] @ new[j]) for j in others), reverse=True)[:hardest]
        own = math.exp(float(new[i] @ old[i]) / 0.05)
        losses.append(-math.log(own / (own + sum(math.exp(value / 0.05) for value in stored + fresh))))
    assert found.item() == pytest.approx(sum(losses) / 7, abs=1e-9)


@pytest.mark.parametrize("kind", ["one item", "one class", "no stored vector"])
def test_contrasts_without_anything_to_contrast_are_finite(kind: str) -> None:
    """Of one class, or of one item, there are no negatives; without stored vectors there is nothing at all."""
    size = 1 if kind == "one item" else 3
    raw = torch.randn(size, 5, generator=torch.Generator().manual_seed(3), requires_grad=True)
    labels, has_old = torch.zeros(size, dtype=torch.long), torch.full((size,), kind != "no stored vector")
    old = random_unit(size, 5, 4).float() * has_old[:, None]
    new = unit(raw)
    contrast = refresh_contrast(new, old, labels, has_old, tau=0.05, hardest=10)
    masked = stored_information(new, old, labels, has_old, scale=10.0, same_class="inf")
    zeroed = stored_information(new, old, labels, has_old, scale=10.0, same_class="zero")
    (contrast + masked + zeroed).backward()
    assert contrast.item() == masked.item() == 0
    expected = (
        float(math.log(size) - 10 * (new * old).detach().sum(dim=1).mean()) if kind != "no stored vector" else 0.0
    )
    assert zeroed.item() == pytest.approx(expected, abs=1e-5)
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()


@pytest.mark.parametrize("has_rows", [False, True], ids=["no row of any class", "its class has the whole sample"])
def test_stored_neighbours_of_nothing_to_compare_have_finite_gradients(has_rows: bool) -> None:
    views, rows = random_unit(2, 6, 0).requires_grad_(), random_unit(4, 6, 1)
    stand_for, same_class = torch.full((2, 3), float(has_rows)), torch.full((2, 4), has_rows)
    loss = stored_neighbours(views, rows[:3].expand(2, 3, 6), stand_for, rows, same_class, tau=0.1)
    loss.backward()
    assert loss.item() == 0
    assert views.grad is not None
    assert torch.isfinite(views.grad).all()
