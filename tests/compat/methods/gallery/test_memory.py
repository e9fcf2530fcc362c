"""The memory of the gallery in a bundle, against loops over its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from skipfill.compat.encoders.mlp import Mlp
from skipfill.compat.encoders.mlp import Settings as MlpSettings
from skipfill.compat.encoders.prepared import Prepared
from skipfill.compat.methods.batch import GallerySample, UnlabelledFeatures
from skipfill.compat.methods.gallery import memory as memory_module
from skipfill.compat.methods.gallery.imitating_head import RAMP, STRANGE, HeadShape, ImitatingHead
from skipfill.compat.methods.gallery.memory import (
    AMONG_POINTS,
    FEWEST,
    FOLLOWING,
    MOST,
    NEAREST,
    SURE,
    TRUSTS,
    DensityRatio,
    ItemMemory,
)
from skipfill.compat.nn.logistic import fit_logistic, log_odds
from skipfill.compat.nn.normalize import unit
from skipfill.compat.progress import Progress
from skipfill.compat.training.data.training_data import UnlabelledItems
from skipfill.compat.training.data.unlabelled import remembered as remembered_items

FEATURES, VIEW, DIM, CLASSES = 12, 6, 8, 4


pytestmark = pytest.mark.usefixtures("double_precision")


def sphere(count: int, dim: int) -> Tensor:
    return unit(torch.randn(count, dim))


def slow_weights(keys: Tensor, where: Tensor, share: float) -> list[float]:
    """exp(cos / tau) of each key, tau a share of the mean distance of two keys, each with itself included."""
    logits = slow_logits(keys, where, share)
    return [math.exp(one - max(logits)) for one in logits]


def slow_logits(keys: Tensor, where: Tensor, share: float) -> list[float]:
    pairs = [1 - float(one @ two) for one in keys for two in keys]
    return [float((where @ key).detach()) * len(pairs) / (share * sum(pairs)) for key in keys]


def slow_log_odds(keys: Tensor, known: Tensor, where: Tensor, left_out: Tensor | None = None) -> float:
    weights = slow_weights(keys, where, AMONG_POINTS)
    if left_out is not None:
        weights = [0.0 if out else one for one, out in zip(weights, left_out, strict=True)]
    a = sum(one for one, yes in zip(weights, known, strict=True) if yes) / int(known.sum())
    b = sum(one for one, yes in zip(weights, known, strict=True) if not yes) / int((~known).sum())
    return min(SURE, max(-SURE, math.log(a / b)))


def test_log_odds_are_those_of_two_densities() -> None:
    keys, known, where = sphere(40, VIEW), torch.arange(40) % 3 == 0, sphere(30, VIEW)
    points = DensityRatio(0, VIEW)
    points.hold(keys, known)
    slow = [slow_log_odds(keys, known, one) for one in where]
    found = points.log_odds(where @ points.keys.T)[:, 0].numpy()
    np.testing.assert_allclose(found, slow, rtol=0, atol=1e-9)
    assert min(slow) < -3
    assert max(slow) > 3


@pytest.mark.parametrize("known", [True, False])
def test_nothing_is_told_where_there_is_nothing_to_tell_apart(known: bool) -> None:
    points = DensityRatio(0, VIEW)
    points.hold(sphere(5, VIEW), torch.full((5,), known))
    assert points.log_odds(sphere(3, VIEW) @ points.keys.T).tolist() == [[0.0]] * 3


def test_rows_of_known_classes_without_a_label_do_not_make_them_strange() -> None:
    """Of four groups, three are of known classes, and one in five of their rows says so."""
    centres = sphere(4, VIEW)
    group = torch.arange(800) % 4
    points = DensityRatio(0, VIEW)
    points.hold(unit(centres[group] + 0.2 * torch.randn(800, VIEW)), (group < 3) & (torch.rand(800) < 0.2))
    asked = torch.arange(200) % 4
    odds = points.log_odds(unit(centres[asked] + 0.2 * torch.randn(200, VIEW)) @ points.keys.T)[:, 0]
    assert float((odds[asked < 3] > STRANGE).double().mean()) > 0.65
    assert float((odds[asked == 3] > STRANGE).double().mean()) < 0.1


def slow_recalled(items: UnlabelledFeatures, among: list[int], where: Tensor, same_class: Tensor) -> Tensor:
    """P^2 k: the regression over these items, and how far it is to be trusted but for A."""
    keys = unit(items.features)
    cosines = sorted((float(unit(where) @ keys[j]) for j in among), reverse=True)
    following = cosines[1 : FOLLOWING + 1]
    lead = cosines[0] - sum(following) / len(following)
    likely = 1 / (1 + math.exp(-(cosines[0] * same_class[0] + lead * same_class[1] + same_class[2])))
    logits = slow_logits(keys, unit(where), NEAREST)
    highest = max(logits[j] for j in among)
    return likely**2 * unit(sum((math.exp(logits[j] - highest) * items.old[j] for j in among), torch.zeros(VIEW)))


def test_recalled_is_a_kernel_regression_over_the_strange_items() -> None:
    items = remembered(25)
    memory = ItemMemory(0, FEATURES, VIEW)
    memory.learn(items, rows(30))
    memory.trust.fill_(0.7)
    memory.same_class = torch.tensor([2.0, 3.0, -1.0])
    where = torch.cat([items.features[:3], torch.randn(6, FEATURES)])
    cosines = memory.keys_of(unit(where)) @ memory.keys.T
    # As many directions as features: a rotation, which cosines do not see.
    torch.testing.assert_close(cosines, unit(where) @ unit(items.features).T)
    strange = [j for j in range(25) if items.labels[j] < 0]
    for one, found in zip(where, memory.recalled(cosines), strict=True):
        slow = 0.7 * slow_recalled(items, strange, one, memory.same_class)
        np.testing.assert_allclose(found.numpy(), slow, rtol=0, atol=1e-9)


@pytest.mark.parametrize("strange", [0, 1, 3])
def test_few_strange_items_are_recalled_too(strange: int) -> None:
    items = UnlabelledFeatures(sphere(10, VIEW), (torch.arange(10) >= strange).long() - 1, torch.randn(10, FEATURES))
    memory = ItemMemory(0, FEATURES, VIEW)
    memory.learn(items, rows(30))
    memory.trust.fill_(1.0)
    recalled = memory.recalled(memory.keys_of(torch.randn(4, FEATURES)) @ memory.keys.T)
    assert recalled.shape == (4, VIEW)
    assert (recalled.norm(dim=1) > 0).tolist() == [strange > 0] * 4


def test_many_features_are_kept_in_their_principal_directions() -> None:
    """300 features that lie in 5 dimensions, and a little noise: cosines hold in 256 of their directions."""
    features = torch.randn(400, 5) @ torch.randn(5, 300) + 0.01 * torch.randn(400, 300)
    items = UnlabelledFeatures(sphere(400, VIEW), torch.arange(400) % 3 - 1, features)
    memory = ItemMemory(0, 300, VIEW)
    memory.learn(items, rows(30))
    assert memory.keys.shape == (400, 256)
    torch.testing.assert_close(memory.keys @ memory.keys.T, unit(features) @ unit(features).T, rtol=0, atol=1e-4)


def slow_hits(items: UnlabelledFeatures, stored: GallerySample, trust: float, same_class: Tensor) -> list[bool]:
    known, hits = [j for j in range(len(items.old)) if items.labels[j] >= 0], []
    for i in known:
        recalled = slow_recalled(items, [j for j in known if j != i], items.features[i], same_class)
        asked = unit(items.old[i] + trust * recalled)
        rest = [
            (float(asked @ row), number)
            for row, number in zip(stored.vectors, stored.labels.tolist(), strict=True)
            if not torch.equal(row, items.old[i])
        ]
        hits.append(max(rest)[1] == int(items.labels[i]))
    return hits


def slow_same_class(items: UnlabelledFeatures) -> Tensor:
    """The probability that the most similar of the other known items is of the same class, by scikit-learn."""
    keys = unit(items.features)
    known, evidence, right = [j for j in range(len(keys)) if items.labels[j] >= 0], [], []
    for i in known:
        others = sorted(((float(keys[i] @ keys[j]), int(items.labels[j])) for j in known if j != i), reverse=True)
        following = [one for one, _ in others[1 : FOLLOWING + 1]]
        evidence.append([others[0][0], others[0][0] - np.mean(following)])
        right.append(others[0][1] == items.labels[i])
    return scikit_logistic(np.array(evidence), np.array(right))


def scikit_logistic(evidence: np.ndarray, true: np.ndarray, balanced: bool = False) -> Tensor:
    scaler = StandardScaler().fit(evidence)
    model = LogisticRegression(class_weight="balanced" if balanced else None, tol=1e-12, max_iter=10_000)
    model.fit(scaler.transform(evidence), true)
    raw = model.coef_[0] / scaler.scale_
    return torch.tensor([*raw, float(model.intercept_[0] - raw @ scaler.mean_)])


@pytest.mark.parametrize("balanced", [False, True])
def test_logistic_regression_is_that_of_scikit_learn(balanced: bool) -> None:
    evidence = torch.randn(300, 3) * torch.tensor([1.0, 5.0, 0.1]) + torch.tensor([0.0, 2.0, -7.0])
    true = torch.rand(300) < (evidence[:, 0] - 0.3 * evidence[:, 1] - 1).sigmoid()
    found = fit_logistic(evidence, true, balanced=balanced)
    torch.testing.assert_close(found, scikit_logistic(evidence.numpy(), true.numpy(), balanced), rtol=1e-4, atol=1e-4)
    by_hand = [sum(w * x for w, x in zip(found.tolist(), [*row, 1.0], strict=True)) for row in evidence.tolist()]
    np.testing.assert_allclose(log_odds(evidence, found)[:, 0].numpy(), by_hand, atol=1e-9)


def test_evidence_that_tells_everything_has_finite_weights() -> None:
    evidence, true = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]]), torch.tensor([False, False, True, True])
    assert bool(fit_logistic(evidence, true).isfinite().all())
    assert bool(fit_logistic(torch.ones(4, 1), true).isfinite().all())


def test_the_trust_is_the_smallest_that_finds_nearly_most_by_a_slow_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Items whose own row is among those that are searched."""
    items = remembered(60)
    monkeypatch.setattr(memory_module, "FEWEST", int((items.labels >= 0).sum()))
    stored = rows(60)
    stored = GallerySample(
        torch.cat([stored.vectors, items.old]), torch.cat([stored.labels, items.labels]), stored.items
    )
    memory = ItemMemory(0, FEATURES, VIEW)
    memory.learn(items, stored)
    torch.testing.assert_close(memory.same_class, slow_same_class(items), rtol=1e-4, atol=1e-4)
    hits = [np.array(slow_hits(items, stored, trust, memory.same_class), float) for trust in TRUSTS]
    best = max(hits, key=np.mean)
    nearly = [np.mean(best - one) <= np.std(best - one) / math.sqrt(len(one)) for one in hits]
    assert 0 < sum(nearly) < len(TRUSTS)
    assert float(memory.trust) == TRUSTS[nearly.index(True)]


@pytest.mark.parametrize("twins", [True, False])
def test_it_is_trusted_where_items_have_others_like_them(twins: bool) -> None:
    """Stored vectors are noisy; to the new encoder the items of a class lie together. Two classes are strange."""
    groups = torch.arange(300) % 10
    new, old = sphere(10, FEATURES)[groups], sphere(10, VIEW)[groups]
    stored = unit(old + 0.6 * torch.randn(300, VIEW))
    features = new + 0.02 * torch.randn(300, FEATURES) if twins else torch.randn(300, FEATURES)
    memory = ItemMemory(0, FEATURES, VIEW)
    among = unit(old + 0.6 * torch.randn(300, VIEW))
    labels = torch.where(groups < 8, groups, -1)
    memory.learn(UnlabelledFeatures(stored, labels, features), GallerySample(among, labels, torch.full((300,), -1)))
    assert len(memory.keys) == 300
    asked = new + 0.02 * torch.randn(300, FEATURES) if twins else torch.randn(300, FEATURES)
    trusted = float(memory.recalled(memory.keys_of(asked) @ memory.keys.T).norm(dim=1).mean())
    assert trusted >= 0.5 if twins else trusted <= 0.2


@pytest.mark.parametrize(("labelled", "trusted"), [(0, False), (FEWEST - 1, False), (FEWEST, True)])
def test_it_is_not_trusted_where_few_are_labelled(labelled: int, trusted: bool) -> None:
    """Every item has its class as its place in both spaces: what is recalled is right."""
    groups = torch.arange(400) % 10
    stored = unit(sphere(10, VIEW)[groups] + 0.6 * torch.randn(400, VIEW))
    labels = torch.where(torch.arange(400) < labelled, groups, -1)
    memory = ItemMemory(0, FEATURES, VIEW)
    items = UnlabelledFeatures(stored, labels, sphere(10, FEATURES)[groups] + 0.02 * torch.randn(400, FEATURES))
    memory.learn(items, GallerySample(stored, groups, torch.full((400,), -1)))
    assert (float(memory.trust) > 0) == trusted


@pytest.mark.parametrize("count", [30, MOST + 50])
def test_as_many_items_are_encoded_as_a_memory_holds(count: int) -> None:
    prepared = np.arange(count, dtype=np.float32).reshape(-1, 1)
    aligned = UnlabelledItems(sphere(count, VIEW), torch.arange(count) % 3 - 1, Prepared(prepared))
    encoded: list[int] = []

    class Counting(Mlp):
        def forward(self, batch: Tensor) -> Tensor:
            encoded.extend(batch[:, 0].int().tolist())
            return batch

    found = remembered_items(aligned, Counting(MlpSettings(inputs=1)), MOST, Progress())
    assert encoded == [*range(min(count, MOST))]
    assert found.features[:, 0].int().tolist() == encoded
    torch.testing.assert_close(found.old, aligned.old[encoded], rtol=0, atol=0)
    assert torch.equal(found.labels, aligned.labels[encoded])


def remembered(count: int) -> UnlabelledFeatures:
    return UnlabelledFeatures(sphere(count, VIEW), torch.arange(count) % 3 - 1, torch.randn(count, FEATURES))


def head() -> ImitatingHead:
    return ImitatingHead(HeadShape(FEATURES, VIEW, DIM, CLASSES, 16.0, 3.0))


def rows(count: int) -> GallerySample:
    return GallerySample(sphere(count, VIEW), torch.arange(count) % 3 - 1, torch.full((count,), -1))


def test_evidence_is_weighed_on_the_items_each_left_out_of_what_lies_around_it() -> None:
    items, stored = remembered(90), rows(50)
    stored = GallerySample(
        torch.cat([stored.vectors, items.old[:20]]), torch.cat([stored.labels, items.labels[:20]]), stored.items
    )
    one = head()
    one.remember(stored, torch.randn(30, FEATURES), items)
    keys, known, alone, evidence = unit(items.features), items.labels >= 0, torch.eye(90).bool(), []
    for i in range(90):
        same = torch.tensor([torch.equal(row, items.old[i]) for row in stored.vectors])
        by_rows = slow_log_odds(stored.vectors, stored.labels >= 0, items.old[i], same)
        evidence.append([slow_log_odds(keys, known, keys[i], alone[i]), by_rows])
    slow = scikit_logistic(np.array(evidence), known.numpy(), balanced=True)
    torch.testing.assert_close(one.evidence, slow, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("count", [0, 40])
def test_without_items_that_tell_the_rows_alone_are_asked(count: int) -> None:
    one = head()
    one.remember(rows(50), torch.randn(30, FEATURES), remembered(count) if count else None)
    assert one.evidence.tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("sampled", [True, False])
def test_the_blend_by_its_definition(sampled: bool) -> None:
    one, stored, items = head(), rows(50), remembered(90)
    before = one.outputs(items.features).imitation.detach()
    one.remember(stored, torch.randn(30, FEATURES), items if sampled else None)
    one.items.trust.fill_(0.7)
    one.evidence = torch.tensor([0.5, 0.4, -0.3])
    features = torch.cat([torch.randn(10, FEATURES), items.features[:10]])
    seen, keys = one.outputs(features), unit(items.features)
    strange, weights, steps = [j for j in range(90) if items.labels[j] < 0], one.evidence.tolist(), []
    for number, row in enumerate(features):
        u = unit(one.imitation(row))
        by_items, recalled = 0.0, torch.zeros(VIEW)
        if sampled:
            recalled = 0.7 * slow_recalled(items, strange, row, one.items.same_class)
            by_items = slow_log_odds(keys, items.labels >= 0, unit(row))
        odds = weights[0] * by_items + weights[1] * slow_log_odds(stored.vectors, stored.labels >= 0, u) + weights[2]
        known = min(1.0, max(0.0, (odds - STRANGE) / RAMP + 0.5))
        steps.append(known)
        sure = float(one.classifier(one.own(row[None])).softmax(dim=1).max().detach())
        assert one.within_class is not None
        sought = unit(one.within_class @ u)
        blend = unit(3.0 * sure * known * seen.class_view[number] + sought + (1 - known) * recalled)
        torch.testing.assert_close(seen.blended[number], blend, rtol=0, atol=1e-9)
    assert {0.0, 1.0} <= set(steps)
    torch.testing.assert_close(unit(one.imitation(items.features)), before)


def test_it_goes_into_the_bundle_and_comes_back() -> None:
    one = head()
    one.remember(rows(50), torch.randn(30, FEATURES), remembered(40))
    other = ImitatingHead(HeadShape(**one.shape.described()))
    other.load_state_dict(load(save({name: value.contiguous() for name, value in one.state_dict().items()})))
    features = torch.randn(5, FEATURES)
    torch.testing.assert_close(other(features), one(features), rtol=0, atol=0)
