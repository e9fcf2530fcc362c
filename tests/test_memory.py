"""What a bundle remembers of the gallery, against loops over its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from skipfill.compat import memory as memory_module
from skipfill.compat.aligned import remembered as remembered_items
from skipfill.compat.drawing import Aligned
from skipfill.compat.encoders.mlp import Mlp
from skipfill.compat.encoders.mlp import Settings as MlpSettings
from skipfill.compat.imitating_head import HeadShape, ImitatingHead
from skipfill.compat.memory import AMONG_ITEMS, AMONG_ROWS, FEWEST, MOST, NEAREST, TRUSTS, Memory, Points
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


def slow_weights(keys: Tensor, where: Tensor, share: float) -> list[float]:
    """exp(cos / tau) of each key, tau a share of the mean distance of two keys, each with itself included."""
    pairs = [1 - float(one @ two) for one in keys for two in keys]
    tau = share * sum(pairs) / len(pairs)
    cosines = [float((where @ key).detach()) for key in keys]
    return [math.exp((one - max(cosines)) / tau) for one in cosines]


def slow_familiarity(keys: Tensor, known: Tensor, where: Tensor, share: float = AMONG_ROWS) -> float:
    weights = slow_weights(keys, where, share)
    a = np.mean([one for one, yes in zip(weights, known, strict=True) if yes])
    b = np.mean([one for one, yes in zip(weights, known, strict=True) if not yes])
    return min(1.0, 2 * a / (a + b))


def test_familiarity_is_a_ratio_of_densities() -> None:
    keys, known, where = sphere(40, VIEW), torch.arange(40) % 3 == 0, sphere(30, VIEW)
    points = Points(0, VIEW)
    points.hold(keys, known)
    slow = [slow_familiarity(keys, known, one) for one in where]
    found = points.familiar(where @ points.keys.T)[:, 0].numpy()
    np.testing.assert_allclose(found, slow, rtol=0, atol=1e-9)
    assert min(slow) < 0.1
    assert max(slow) == 1


@pytest.mark.parametrize("known", [True, False])
def test_everything_is_familiar_where_there_is_nothing_to_tell_apart(known: bool) -> None:
    points = Points(0, VIEW)
    points.hold(sphere(5, VIEW), torch.full((5,), known))
    assert points.familiar(sphere(3, VIEW) @ points.keys.T).tolist() == [[1.0]] * 3


def test_rows_of_known_classes_without_a_label_do_not_make_them_strange() -> None:
    """Of four groups, three are of known classes, and one in five of their rows says so."""
    centres = sphere(4, VIEW)
    group = torch.arange(800) % 4
    points = Points(0, VIEW)
    points.hold(unit(centres[group] + 0.2 * torch.randn(800, VIEW)), (group < 3) & (torch.rand(800) < 0.2))
    asked = torch.arange(200) % 4
    familiar = points.familiar(unit(centres[asked] + 0.2 * torch.randn(200, VIEW)) @ points.keys.T)
    assert float(familiar[asked < 3].mean()) > 0.5
    assert float(familiar[asked == 3].mean()) < 0.1


def test_recalled_is_a_kernel_regression() -> None:
    items = remembered(25)
    memory = Memory(0, FEATURES, VIEW)
    memory.learn(items, rows(30))
    keys, where = unit(items.features), torch.cat([items.features[:3], torch.randn(6, FEATURES)])
    cosines = memory.keys_of(unit(where)) @ memory.keys.T
    # As many directions as features: a rotation, which cosines do not see.
    torch.testing.assert_close(cosines, unit(where) @ keys.T)
    for one, found in zip(unit(where), memory.recalled(cosines), strict=True):
        weights = slow_weights(keys, one, NEAREST)
        slow = sum(w * g for w, g in zip(weights, items.old.numpy(), strict=True)) / sum(weights)
        np.testing.assert_allclose(found.numpy(), slow / np.linalg.norm(slow), rtol=0, atol=1e-9)


def test_many_features_are_kept_in_their_principal_directions() -> None:
    """300 features that lie in 5 dimensions, and a little noise: cosines hold in 256 of their directions."""
    features = torch.randn(400, 5) @ torch.randn(5, 300) + 0.01 * torch.randn(400, 300)
    items = Remembered(sphere(400, VIEW), torch.arange(400) % 3 - 1, features)
    memory = Memory(0, 300, VIEW)
    memory.learn(items, rows(30))
    assert memory.keys.shape == (400, 256)
    torch.testing.assert_close(memory.keys @ memory.keys.T, unit(features) @ unit(features).T, rtol=0, atol=1e-4)


def slow_hits(items: Remembered, stored: StoredSample, trust: float) -> int:
    keys, hits = unit(items.features), 0
    for i, (key, own, label) in enumerate(zip(keys, items.old, items.labels.tolist(), strict=True)):
        if label < 0:
            continue
        others = [j for j in range(len(keys)) if j != i]
        cosines = [float(key @ keys[j]) for j in others]
        pairs = [1 - float(one @ two) for one in keys for two in keys]
        tau = NEAREST * sum(pairs) / len(pairs)
        weights = [math.exp((one - max(cosines)) / tau) for one in cosines]
        recalled = unit(sum((w * items.old[j] for w, j in zip(weights, others, strict=True)), torch.zeros(VIEW)))
        asked = unit(own + trust * recalled)
        rest = [
            (float(asked @ row), number)
            for row, number in zip(stored.vectors, stored.labels.tolist(), strict=True)
            if not torch.equal(row, own)
        ]
        hits += max(rest)[1] == label
    return hits


def test_the_trust_is_the_one_that_finds_most_by_a_slow_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Items whose own row is among those that are searched."""
    items = remembered(40)
    monkeypatch.setattr(memory_module, "FEWEST", int((items.labels >= 0).sum()))
    stored = rows(60)
    stored = StoredSample(
        torch.cat([stored.vectors, items.old]), torch.cat([stored.labels, items.labels]), stored.items
    )
    memory = Memory(0, FEATURES, VIEW)
    memory.learn(items, stored)
    hits = [slow_hits(items, stored, trust) for trust in TRUSTS]
    assert len(set(hits)) > 1
    assert float(memory.trust) == max(zip(hits, TRUSTS, strict=True))[1]


@pytest.mark.parametrize("twins", [True, False])
def test_it_is_trusted_where_items_have_others_like_them(twins: bool) -> None:
    """Stored vectors are noisy; to the new encoder the items of a class lie together."""
    groups = torch.arange(300) % 10
    new, old = sphere(10, FEATURES)[groups], sphere(10, VIEW)[groups]
    stored = unit(old + 0.6 * torch.randn(300, VIEW))
    features = new + 0.02 * torch.randn(300, FEATURES) if twins else torch.randn(300, FEATURES)
    memory = Memory(0, FEATURES, VIEW)
    among = unit(old + 0.6 * torch.randn(300, VIEW))
    memory.learn(Remembered(stored, groups, features), StoredSample(among, groups, torch.full((300,), -1)))
    assert len(memory.keys) == 300
    assert float(memory.trust) >= 0.5 if twins else float(memory.trust) <= 0.2


@pytest.mark.parametrize(("labelled", "trusted"), [(0, False), (FEWEST - 1, False), (FEWEST, True)])
def test_it_is_not_trusted_where_few_are_labelled(labelled: int, trusted: bool) -> None:
    """Every item has its class as its place in both spaces: what is recalled is right."""
    groups = torch.arange(400) % 10
    stored = unit(sphere(10, VIEW)[groups] + 0.6 * torch.randn(400, VIEW))
    labels = torch.where(torch.arange(400) < labelled, groups, -1)
    memory = Memory(0, FEATURES, VIEW)
    items = Remembered(stored, labels, sphere(10, FEATURES)[groups] + 0.02 * torch.randn(400, FEATURES))
    memory.learn(items, StoredSample(stored, groups, torch.full((400,), -1)))
    assert (float(memory.trust) > 0) == trusted


@pytest.mark.parametrize("count", [30, MOST + 50])
def test_as_many_items_are_encoded_as_a_memory_holds(count: int) -> None:
    prepared = np.arange(count, dtype=np.float32).reshape(-1, 1)
    aligned = Aligned(sphere(count, VIEW), torch.arange(count) % 3 - 1, Prepared(prepared))
    encoded: list[int] = []

    class Counting(Mlp):
        def forward(self, batch: Tensor) -> Tensor:
            encoded.extend(batch[:, 0].int().tolist())
            return batch

    found = remembered_items(aligned, Counting(MlpSettings(inputs=1)), Stages())
    assert encoded == [*range(min(count, MOST))]
    assert found.features[:, 0].int().tolist() == encoded
    torch.testing.assert_close(found.old, aligned.old[encoded], rtol=0, atol=0)
    assert torch.equal(found.labels, aligned.labels[encoded])


def remembered(count: int) -> Remembered:
    return Remembered(sphere(count, VIEW), torch.arange(count) % 3 - 1, torch.randn(count, FEATURES))


def head() -> ImitatingHead:
    return ImitatingHead(HeadShape(FEATURES, VIEW, DIM, CLASSES, 16.0, 3.0))


def rows(count: int) -> StoredSample:
    return StoredSample(sphere(count, VIEW), torch.arange(count) % 3 - 1, torch.full((count,), -1))


@pytest.mark.parametrize("sampled", [True, False])
def test_the_blend_by_its_definition(sampled: bool) -> None:
    one, stored, items = head(), rows(50), remembered(40)
    before = one.opinions(items.features).imitated.detach()
    one.remember(stored, items if sampled else None)
    one.items.trust.fill_(0.7)
    features = torch.cat([torch.randn(10, FEATURES), items.features[:10]])
    seen = one.opinions(features)
    for number, row in enumerate(features):
        u = unit(one.imitation(row))
        familiar, recalled = 1.0, torch.zeros(VIEW)
        if sampled:
            keys = unit(items.features)
            weights = torch.tensor(slow_weights(keys, unit(row), NEAREST))
            recalled = 0.7 * unit(weights @ items.old)
            familiar = slow_familiarity(keys, items.labels >= 0, unit(row), AMONG_ITEMS)
        familiar *= slow_familiarity(stored.vectors, stored.labels >= 0, unit(u + recalled))
        known = max(0.0, 2 * familiar - 1)
        sure = float(one.classifier(one.own(row[None])).softmax(dim=1).max().detach())
        blend = unit(3.0 * sure * known * seen.classed[number] + u + (1 - known) * recalled)
        torch.testing.assert_close(seen.blended[number], blend, rtol=0, atol=1e-9)
    torch.testing.assert_close(unit(one.imitation(items.features)), before)


def test_it_goes_into_the_bundle_and_comes_back() -> None:
    one = head()
    one.remember(rows(50), remembered(40))
    other = ImitatingHead(HeadShape(**one.shape.described()))
    other.load_state_dict(load(save({name: value.contiguous() for name, value in one.state_dict().items()})))
    features = torch.randn(5, FEATURES)
    torch.testing.assert_close(other(features), one(features), rtol=0, atol=0)
