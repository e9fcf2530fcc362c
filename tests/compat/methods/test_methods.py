"""The contract that every method keeps that is trained by gradients."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load, save

from skipfill.compat.methods.batch import Batch, GallerySample, OldSpace, Pairs
from skipfill.compat.methods.method import Method, MethodContext
from skipfill.compat.methods.registry import TRAINED
from skipfill.compat.methods.simplex import SimplexMethod
from skipfill.compat.nn.normalize import unit
from skipfill.compat.training.data.class_rows import RowsOfClasses

FEATURES, CLASSES, OLD, TEACHER = 20, 5, 8, 10
each = pytest.mark.parametrize("kind", TRAINED.values(), ids=TRAINED)


def stored(rows: int, seed: int) -> GallerySample:
    random = torch.Generator().manual_seed(seed)
    vectors = unit(torch.randn(rows, OLD, generator=random))
    return GallerySample(vectors, torch.randint(-1, 3, (rows,), generator=random), torch.arange(rows) - 20)


def built(kind: type[Method], seed: int = 0) -> Method:
    torch.manual_seed(seed)
    prototypes = torch.randn(CLASSES, OLD)
    prototypes[3] = 0
    old = OldSpace(OLD, prototypes, torch.tensor([5, 5, 5, 0, 5]), stored(30, seed))
    # A simplex's space is the gallery's.
    small = {"classes": OLD + 1} if issubclass(kind, SimplexMethod) else {}
    return kind(MethodContext(FEATURES, CLASSES, 0, old, TEACHER), kind.settings_type(**small))


def batch(size: int, seed: int = 1, label: int | None = None) -> Batch:
    random = torch.Generator().manual_seed(seed)
    encoded = torch.randn(size + 4, FEATURES, generator=random, requires_grad=True)
    labels = torch.randint(CLASSES, (size,), generator=random) if label is None else torch.full((size,), label)
    sample = stored(30, seed)
    return Batch(
        encoded=encoded,
        labels=labels,
        old=unit(torch.randn(size, OLD, generator=random)),
        has_old=torch.arange(size) % 2 == 0,
        sample=sample,
        own_class_rows=RowsOfClasses(sample).of(labels, torch.arange(size), 4, 30, start=7),
        teacher=unit(torch.randn(size, TEACHER, generator=random)),
        pairs=Pairs(sample.vectors[:4]),
    )


@each
@pytest.mark.parametrize("size", [1, 7])
def test_terms_are_named_finite_scalars(kind: type[Method], size: int) -> None:
    terms = built(kind).losses(batch(size))
    assert terms
    for name, value in terms.items():
        assert name.isidentifier()
        assert value.shape == ()
        assert torch.isfinite(value)


@each
def test_a_class_without_stored_rows_is_no_error(kind: type[Method]) -> None:
    method = built(kind)
    loss = sum(method.losses(batch(4, label=3)).values())
    assert isinstance(loss, torch.Tensor)
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in method.parameters() if p.grad is not None)


@each
def test_gradient_reaches_the_new_model_and_nothing_stored(kind: type[Method]) -> None:
    method, given = built(kind), batch(6)
    torch.stack(list(method.losses(given).values())).sum().backward()
    assert given.encoded.grad is not None
    assert given.encoded.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in method.head.parameters())
    assert given.sample is not None
    assert given.own_class_rows is not None
    assert given.pairs is not None
    stored = [given.old, given.teacher, given.sample.vectors, given.own_class_rows.vectors, given.pairs.old]
    assert all(one is None or (one.grad is None and not one.requires_grad) for one in stored)


@each
def test_a_few_steps_lower_the_loss(kind: type[Method]) -> None:
    method, given = built(kind), batch(16)
    optimizer = torch.optim.Adam(method.parameters(), 1e-2)
    losses = []
    for _ in range(25):
        loss = torch.stack(list(method.losses(given).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@each
def test_the_head_comes_back_from_its_description_and_weights(kind: type[Method]) -> None:
    method, features = built(kind), torch.randn(3, FEATURES)
    again = kind.build_head(method.describe_head())
    again.load_state_dict(load(save({name: value.contiguous() for name, value in method.head.state_dict().items()})))
    torch.testing.assert_close(again(features), method.head(features), rtol=0, atol=0)
    assert method.head(features).shape == (3, method.dim)
    assert 0 <= method.view_dim <= method.dim


@each
def test_same_seed_same_weights(kind: type[Method]) -> None:
    one, two = built(kind, seed=4), built(kind, seed=4)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


@each
def test_same_seed_same_training(kind: type[Method]) -> None:
    """Whatever a method draws, it draws from the seed."""
    results = []
    for _ in range(2):
        method, given = built(kind, seed=4), batch(8)
        optimizer = torch.optim.Adam(method.parameters(), 1e-2)
        for _ in range(3):
            optimizer.zero_grad()
            torch.stack(list(method.losses(given).values())).sum().backward()
            optimizer.step()
        results.append([parameter.detach().clone() for parameter in method.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@each
def test_a_batch_of_one_has_a_finite_gradient(kind: type[Method]) -> None:
    method, given = built(kind), batch(1)
    torch.stack(list(method.losses(given).values())).sum().backward()
    assert given.encoded.grad is not None
    assert torch.isfinite(given.encoded.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in method.parameters() if p.grad is not None)


@each
def test_it_says_what_it_is_and_where_it_is_from(kind: type[Method]) -> None:
    assert kind.summary
    assert kind.source


def test_bt2_keeps_the_geometry_that_its_paper_derives() -> None:
    """<h, h'> = cos(o[:e], o'[:e]) + C^2 cos(f, f') before the final normalisation (Zhou et al. 2023)."""
    head = TRAINED["bt2"].build_head({"features": FEATURES, "old": OLD, "new": TEACHER, "extra": 3, "weight": 2.0})
    wide = head.backbone(torch.randn(2, FEATURES))
    one, two = head.compose(wide)
    part = unit(unit(head.imitate_old(wide.relu()))[:, :3])
    new = head.new_part(wide)
    torch.testing.assert_close(one @ two, part[0] @ part[1] + 4 * new[0] @ new[1], rtol=1e-4, atol=1e-5)


def test_oca_without_its_transform_has_the_same_terms() -> None:
    kind = TRAINED["oca"]
    old = OldSpace(OLD, torch.randn(CLASSES, OLD), torch.ones(CLASSES), stored(30, 0))
    plain = kind(MethodContext(FEATURES, CLASSES, 0, old), kind.settings_type(transform=False))
    assert set(plain.losses(batch(3))) == {"class", "prototypes", "alignment"}
