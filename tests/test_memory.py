"""What a bundle remembers of the gallery, against loops over its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from skipfill.compat.aligned import remembered as remembered_items
from skipfill.compat.drawing import Aligned
from skipfill.compat.encoders.mlp import Mlp
from skipfill.compat.encoders.mlp import Settings as MlpSettings
from skipfill.compat.imitating_head import HeadShape, ImitatingHead
from skipfill.compat.memory import MOST, NEAREST, Memory, Points
from skipfill.compat.method import Remembered, StoredSample, unit
from skipfill.compat.prepared import Prepared
from skipfill.compat.stages import Stages

FEATURES, VIEW, DIM, CLASSES = 12, 6, 8, 4


@pytest.fixture(autouse=True)
def _double() -> object:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def sphere(count: int, dim: int) -> Tensor:
    return unit(torch.randn(count, dim))


def slow_weights(keys: Tensor, where: Tensor) -> list[float]:
    """exp(cos / tau) of each key, tau a share of the mean distance of two keys, each with itself included."""
    pairs = [1 - float(one @ two) for one in keys for two in keys]
    tau = NEAREST * sum(pairs) / len(pairs)
    return [math.exp((float((where @ key).detach()) - 1) / tau) for key in keys]


def slow_familiarity(keys: Tensor, known: Tensor, where: Tensor) -> float:
    weights = slow_weights(keys, where)
    a = np.mean([one for one, yes in zip(weights, known, strict=True) if yes])
    b = np.mean([one for one, yes in zip(weights, known, strict=True) if not yes])
    return min(1.0, 2 * a / (a + b))


def test_familiarity_is_a_ratio_of_densities() -> None:
    keys, known, where = sphere(40, VIEW), torch.arange(40) % 3 == 0, sphere(30, VIEW)
    points = Points(0, VIEW)
    points.hold(keys, known)
    slow = [slow_familiarity(keys, known, one) for one in where]
    found = points.familiar(points.logits(where))[:, 0].numpy()
    np.testing.assert_allclose(found, slow, rtol=0, atol=1e-9)
    assert min(slow) < 0.1
    assert max(slow) == 1


@pytest.mark.parametrize("known", [True, False])
def test_everything_is_familiar_where_there_is_nothing_to_tell_apart(known: bool) -> None:
    points = Points(0, VIEW)
    points.hold(sphere(5, VIEW), torch.full((5,), known))
    assert points.familiar(points.logits(sphere(3, VIEW))).tolist() == [[1.0]] * 3


def test_rows_of_known_classes_without_a_label_do_not_make_them_strange() -> None:
    """Of four groups, three are of known classes, and one in five of their rows says so."""
    centres = sphere(4, VIEW)
    group = torch.arange(800) % 4
    points = Points(0, VIEW)
    points.hold(unit(centres[group] + 0.2 * torch.randn(800, VIEW)), (group < 3) & (torch.rand(800) < 0.2))
    asked = torch.arange(200) % 4
    familiar = points.familiar(points.logits(unit(centres[asked] + 0.2 * torch.randn(200, VIEW))))
    assert float(familiar[asked < 3].mean()) > 0.5
    assert float(familiar[asked == 3].mean()) < 0.1


def test_recalled_is_a_kernel_regression() -> None:
    items = remembered(25, spare=0)
    keys, where = sphere(25, DIM), sphere(9, DIM)
    memory = Memory(0, DIM, VIEW)
    memory.learn(keys, sphere(25, VIEW), items)
    for one, found in zip(where, memory.recalled(memory.logits(where)), strict=True):
        weights = slow_weights(keys, one)
        slow = sum(w * g for w, g in zip(weights, items.old.numpy(), strict=True)) / sum(weights)
        np.testing.assert_allclose(found.numpy(), slow / np.linalg.norm(slow), rtol=0, atol=1e-9)
    assert float(memory.trust) == 0  # nothing was spared that would speak for it


@pytest.mark.parametrize("twins", [True, False])
def test_it_is_trusted_where_items_have_others_like_them(twins: bool) -> None:
    """Stored vectors are noisy, and so is the imitation; in the new space the items of a class lie together."""
    groups = torch.arange(300) % (10 if twins else 300)
    new, old = sphere(300, DIM)[groups], sphere(300, VIEW)[groups]
    items = remembered(300, spare=60, old=unit(old + 0.3 * torch.randn(300, VIEW)))
    memory = Memory(0, DIM, VIEW)
    memory.learn(unit(new + 0.05 * torch.randn(300, DIM)), unit(old + 0.3 * torch.randn(300, VIEW)), items)
    assert len(memory.keys) == 300
    assert float(memory.trust) >= 0.5 if twins else float(memory.trust) <= 0.1


@pytest.mark.parametrize("count", [30, MOST + 50])
def test_as_many_items_are_encoded_as_a_memory_holds(count: int) -> None:
    """Those that were spared are always among them, as the last."""
    prepared = np.arange(count, dtype=np.float32).reshape(-1, 1)
    aligned = Aligned(sphere(count, VIEW), torch.arange(count) % 2 == 0, 7, Prepared(prepared))
    encoded: list[int] = []

    class Counting(Mlp):
        def forward(self, batch: Tensor) -> Tensor:
            encoded.extend(batch[:, 0].int().tolist())
            return batch

    found = remembered_items(aligned, Counting(MlpSettings(inputs=1)), Stages())
    few = min(count, MOST)
    assert encoded == [*range(few - 7), *range(count - 7, count)]
    assert found.features[:, 0].int().tolist() == encoded
    torch.testing.assert_close(found.old, aligned.old[encoded], rtol=0, atol=0)
    assert torch.equal(found.known, aligned.known[encoded])


def remembered(count: int, spare: int, old: Tensor | None = None) -> Remembered:
    stored = sphere(count, VIEW) if old is None else old
    return Remembered(stored, torch.arange(count) % 2 == 0, spare, torch.randn(count, FEATURES))


def head() -> ImitatingHead:
    return ImitatingHead(HeadShape(FEATURES, VIEW, DIM, CLASSES, 16.0, 3.0))


def rows(count: int) -> StoredSample:
    return StoredSample(sphere(count, VIEW), torch.arange(count) % 3 - 1, torch.full((count,), -1))


@pytest.mark.parametrize("sampled", [True, False])
def test_the_blend_by_its_definition(sampled: bool) -> None:
    one, stored, items = head(), rows(50), remembered(40, spare=8)
    before = one.opinions(items.features).imitated.detach()
    one.remember(stored, items if sampled else None)
    features = torch.cat([torch.randn(10, FEATURES), items.features[:10]])
    seen = one.opinions(features)
    for number, row in enumerate(features):
        u = unit(one.imitation(row))
        h = seen.embedding[number]
        familiar = 1.0
        if sampled:
            keys = one.opinions(items.features).embedding.detach()
            weights = torch.tensor(slow_weights(keys, h))
            u = unit(u + one.items.trust * unit(weights @ items.old))
            familiar = slow_familiarity(keys, items.known, h)
        familiar *= slow_familiarity(stored.vectors, stored.labels >= 0, u)
        sure = float(one.classifier(one.own(row[None])).softmax(dim=1).max().detach())
        blend = unit(3.0 * sure * max(0.0, 2 * familiar - 1) * seen.classed[number] + u)
        torch.testing.assert_close(seen.blended[number], blend, rtol=0, atol=1e-9)
    torch.testing.assert_close(unit(one.imitation(items.features)), before)


def test_it_goes_into_the_bundle_and_comes_back() -> None:
    one = head()
    one.remember(rows(50), remembered(40, spare=8))
    other = ImitatingHead(HeadShape(**one.shape.described()))
    other.load_state_dict(load(save({name: value.contiguous() for name, value in one.state_dict().items()})))
    features = torch.randn(5, FEATURES)
    torch.testing.assert_close(other(features), one(features), rtol=0, atol=0)
