"""Every method's loss terms against its published formula, written out item by item in plain numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from skipfill.compat.methods.batch import Batch, GallerySample, OldSpace, Pairs
from skipfill.compat.methods.bt2 import Bt2Head
from skipfill.compat.methods.gallery.imitating_head import ImitatingHead
from skipfill.compat.methods.gallery.method import Gallery
from skipfill.compat.methods.method import MethodContext
from skipfill.compat.methods.oca import Oca
from skipfill.compat.methods.registry import TRAINED
from skipfill.compat.methods.simplex import SimplexMethod
from skipfill.compat.nn.classifier import CosineClassifier
from skipfill.compat.nn.normalize import unit
from skipfill.compat.training.data.class_rows import RowsOfClasses

FEATURES, CLASSES, OLD, TEACHER, ITEMS = 11, 5, 6, 7, 9
ABSENT = 3  # a class without stored rows
Row = np.ndarray[Any, np.dtype[np.float64]]
Slow = dict[str, float]


@pytest.fixture(autouse=True)
def double() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def n(vector: Row) -> Row:
    return vector / math.sqrt(sum(float(x) ** 2 for x in vector))


def dot(a: Row, b: Row) -> float:
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def log_sum(values: list[float]) -> float:
    return math.log(sum(math.exp(value) for value in values))


def ce(logits: dict[int, float], label: int, smoothing: float = 0.0) -> float:
    total = log_sum(list(logits.values()))
    logs = {one: value - total for one, value in logits.items()}
    return -(1 - smoothing) * logs[label] - smoothing * sum(logs.values()) / len(logs)


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def linear(module: Any, x: Row) -> Row:
    weight = module.weight.detach().numpy()
    bias = np.zeros(len(weight)) if module.bias is None else module.bias.detach().numpy()
    return np.array([dot(row, x) for row in weight]) + bias


def cosines(classifier: Any, x: Row) -> dict[int, float]:
    weight = classifier.weight.detach().numpy()
    return {c: classifier.scale * dot(n(x), n(row)) for c, row in enumerate(weight)}


@dataclass(frozen=True)
class Case:
    """A method and a batch, in plain numbers."""

    method: Any
    batch: Batch
    settings: Any

    @property
    def labels(self) -> list[int]:
        return [int(label) for label in self.batch.labels]

    @property
    def features(self) -> list[Row]:
        return list(self.batch.features.detach().numpy())

    @property
    def stored(self) -> list[Row]:
        assert self.batch.old is not None
        return list(self.batch.old.numpy())

    @property
    def has_old(self) -> list[bool]:
        assert self.batch.has_old is not None
        return [bool(one) for one in self.batch.has_old]

    @property
    def prototypes(self) -> dict[int, Row]:
        old: OldSpace = self.method.old
        return {c: row for c, row in enumerate(old.prototypes.numpy()) if old.counts[c] > 0}

    def embeddings(self) -> list[Row]:
        return [linear(self.method.head, x) for x in self.features]

    def by_prototypes(self, views: list[Row], scale: float = 1.0, smoothing: float = 0.0, unit: bool = False) -> float:
        rows = {c: n(row) if unit else row for c, row in self.prototypes.items()}
        return mean(
            [
                ce({c: scale * dot(z, row) for c, row in rows.items()}, y, smoothing)
                for z, y in zip(views, self.labels, strict=True)
                if y in rows
            ]
        )

    def by_own(self) -> float:
        return mean(
            [
                ce(cosines(self.method.classifier, h), y, self.settings.smoothing)
                for h, y in zip(self.embeddings(), self.labels, strict=True)
            ]
        )


def independent(case: Case) -> Slow:
    losses = [
        ce(cosines(case.method.classifier, h), y, case.settings.smoothing)
        for h, y in zip(case.embeddings(), case.labels, strict=True)
    ]
    return {"class": mean(losses)}


def l2(case: Case) -> Slow:
    near = [
        1 - dot(n(h[:OLD]), g)
        for h, g, known in zip(case.embeddings(), case.stored, case.has_old, strict=True)
        if known
    ]
    return {"class": case.by_own(), "stored": case.settings.stored * mean(near)}


def hot_refresh(case: Case) -> Slow:
    tau, most = case.settings.temperature, case.settings.hardest
    views, losses = [n(h[:OLD]) for h in case.embeddings()], []
    for i in range(ITEMS):
        if not case.has_old[i]:
            continue
        others = [j for j in range(ITEMS) if case.labels[j] != case.labels[i]]
        old = sorted((dot(views[i], case.stored[j]) for j in others if case.has_old[j]), reverse=True)[:most]
        new = sorted((dot(views[i], views[j]) for j in others), reverse=True)[:most]
        own = dot(views[i], case.stored[i])
        losses.append(log_sum([value / tau for value in (own, *old, *new)]) - own / tau)
    return {"class": case.by_own(), "contrast": case.settings.contrast * mean(losses)}


def bct(case: Case) -> Slow:
    views = [n(h[:OLD]) for h in case.embeddings()]
    if case.settings.cosine:
        old = case.by_prototypes(views, scale=case.settings.scale, unit=True)
        return {"class": case.by_own(), "prototypes": case.settings.influence * old}
    own = [
        ce(dict(enumerate(linear(case.method.classifier, h))), y, case.settings.smoothing)
        for h, y in zip(case.embeddings(), case.labels, strict=True)
    ]
    old = case.by_prototypes([h[:OLD] for h in case.embeddings()])
    return {"class": mean(own), "prototypes": case.settings.influence * old}


def oca(case: Case) -> Slow:
    """5 CE(W T n(g)) + 10 CE(z P^T) + 5 (1 - cos(P_y, z)), z = n(n(g)[:d]), smoothing 0.1."""
    embeddings = [n(g) for g in case.embeddings()]
    turn = case.method.transform.weight.detach().numpy() if case.settings.transform else np.eye(len(embeddings[0]))
    own = [
        ce(dict(enumerate(linear(case.method.classifier, turn @ h))), y, 0.1)
        for h, y in zip(embeddings, case.labels, strict=True)
    ]
    views = [n(h[:OLD]) for h in embeddings]
    near = [1 - dot(n(case.prototypes[y]), z) for z, y in zip(views, case.labels, strict=True) if y in case.prototypes]
    terms = {"class": 5 * mean(own), "prototypes": 10 * case.by_prototypes(views, smoothing=0.1)}
    return terms | ({"alignment": 5 * mean(near)} if case.settings.cosine else {})


def bt2_parts(head: Any, features: Row) -> tuple[Row, Row]:
    """f and h: o = n(A relu(g)), f = n(g[:D]), m = [ n(o[:e]) ; P (C f) ], h = [ Q m[:d] ; m[d:] ]."""
    g = linear(head.backbone, features)
    f = n(g[:TEACHER])
    o = n(linear(head.imitate_old, np.maximum(g, 0)))
    m = np.concatenate([n(o[:3]), linear(head.mix_new, 2 * f)])
    return f, np.concatenate([linear(head.mix_old, m[:OLD]), m[OLD:]])


def bt2(case: Case) -> Slow:
    """CE(W f) + 10 CE(n(b) P^T) + 5 (1 - cos(f_o, b)) + 1 (1 - cos(phi*, f))."""
    assert case.batch.teacher is not None
    parts = [bt2_parts(case.method.head, x) for x in case.features]
    own = [
        ce(dict(enumerate(linear(case.method.classifier, f))), y) for (f, _), y in zip(parts, case.labels, strict=True)
    ]
    near = [1 - dot(n(h[:OLD]), case.stored[i]) for i, (_, h) in enumerate(parts) if case.has_old[i]]
    taught = [1 - dot(f, phi) for (f, _), phi in zip(parts, case.batch.teacher.numpy(), strict=True)]
    return {
        "class": mean(own),
        "prototypes": 10 * case.by_prototypes([n(h[:OLD]) for _, h in parts]),
        "alignment": 5 * mean(near),
        "teacher": mean(taught),
    }


def vertices(k: int) -> list[Row]:
    """Rows of I and one row (1 - sqrt(K)) / (K - 1), centred, normalised."""
    rows = [np.eye(k - 1)[i] for i in range(k - 1)] + [np.full(k - 1, (1 - math.sqrt(k)) / (k - 1))]
    centre = np.array([mean([row[j] for row in rows]) for j in range(k - 1)])
    return [n(row - centre) for row in rows]


def simplex(case: Case) -> Slow:
    corners = vertices(OLD + 1)
    losses = [
        ce({k: dot(z, corner) for k, corner in enumerate(corners)}, SLOTS[y])
        for z, y in zip(case.embeddings(), case.labels, strict=True)
    ]
    return {"class": mean(losses)}


def hoc(case: Case) -> Slow:
    """0.1 CE + 0.9 mean_i( -S_ii + logsumexp_j S_ij ), S = 10 F_old F_new^T; pairs of one class 0, or left out."""
    known = [i for i in range(ITEMS) if case.has_old[i]]
    new = [n(z) for z in case.embeddings()]
    losses = []
    for i in known:
        own, total = 10 * dot(case.stored[i], new[i]), []
        for j in known:
            if case.labels[i] != case.labels[j]:
                total.append(10 * dot(case.stored[i], new[j]))
            elif case.settings.same_class == "zero":
                total.append(0.0)
            elif i == j:
                total.append(own)
        losses.append(log_sum(total) - own)
    return {"class": 0.1 * simplex(case)["class"], "information": 0.9 * mean(losses)}


def gallery(case: Case) -> Slow:
    """Class view z, imitation u, b = n(w z + u), w = strength max softmax(logits); the memory comes later."""
    method, settings, batch = case.method, case.settings, case.batch
    head: Any = method.head
    assert batch.sample is not None

    def seen(x: Row) -> tuple[Row, Row, Row, dict[int, float]]:
        h = linear(head.own, x)
        logits = cosines(head.classifier, h)
        sure = max(math.exp(value - log_sum(list(logits.values()))) for value in logits.values())
        z, u = n(h[:OLD]), n(linear(head.imitation, x))
        return z, u, n(settings.strength * sure * z + u), logits

    rows = [
        (g, int(y), int(item))
        for g, y, item in zip(batch.sample.vectors.numpy(), batch.sample.labels, batch.sample.items, strict=True)
    ]

    def near(views: list[Row]) -> float:
        losses = []
        for i, (view, y) in enumerate(zip(views, case.labels, strict=True)):
            hits = [dot(view, g) / method.tau for g, label, item in rows if label == y and item != i]
            if hits:
                others = [dot(view, g) / method.tau for g, label, _ in rows if label != y]
                losses.append(log_sum(hits + others) - log_sum(hits))
        return mean(losses)

    def ranked(view: Row, stored: Row) -> float:
        target = [dot(stored, g) / method.tau for g, _, _ in rows]
        found = [dot(view, g) / method.tau for g, _, _ in rows]
        return sum(
            math.exp(t - log_sum(target)) * (t - log_sum(target) - f + log_sum(found))
            for t, f in zip(target, found, strict=True)
        )

    labelled = [seen(x) for x in case.features]
    means, weight = {"scale": 1 / method.tau_prototypes, "unit": True}, settings.classes
    views = [one[2] for one in labelled]
    terms = {
        "class": mean([ce(one[3], y, settings.smoothing) for one, y in zip(labelled, case.labels, strict=True)]),
        "prototypes": weight * case.by_prototypes(views, **means),
        "neighbours": weight * near(views),
    }
    if batch.pairs is None:
        return terms
    pairs = [seen(x) for x in batch.features_of_pairs.detach().numpy()]
    stored = list(batch.pairs.old.numpy())
    distance = settings.imitation / (1 - dot(*[batch_mean(method.old.pool.vectors)] * 2))
    return terms | {
        "imitation": distance * mean([1 - dot(one[1], g) for one, g in zip(pairs, stored, strict=True)]),
        "ranking": settings.ranking * mean([ranked(one[1], g) for one, g in zip(pairs[2:], stored[2:], strict=True)]),
    }


def batch_mean(vectors: Tensor) -> Row:
    return np.array([mean([float(x) for x in column]) for column in vectors.numpy().T])


FORMULAS: dict[str, Callable[[Case], Slow]] = {
    "independent": independent,
    "l2": l2,
    "hot-refresh": hot_refresh,
    "bct": bct,
    "oca": oca,
    "bt2": bt2,
    "simplex": simplex,
    "hoc": hoc,
    "gallery": gallery,
}
SLOTS = [2, 6, 0, 1, 5]
SMALL: dict[str, dict[str, Any]] = {
    "simplex": {"classes": OLD + 1},
    "hoc": {"classes": OLD + 1},
    "bt2": {"extra_dims": 3},
}
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in TRAINED),
    ("hot-refresh", {"hardest": 2, "temperature": 0.01, "contrast": 0.3, "extra_dims": 0}),
    ("bct", {"influence": 0.5, "scale": 30.0, "smoothing": 0.0}),
    ("bct", {"cosine": False, "smoothing": 0.0}),
    ("oca", {"transform": False}),
    ("oca", {"cosine": False, "extra_dims": 3}),
    ("hoc", {"same_class": "inf"}),
    ("l2", {"stored": 2.0, "extra_dims": 0}),
]


def random_unit(rows: int, dim: int) -> Tensor:
    return unit(torch.randn(rows, dim))


def made(name: str, options: dict[str, Any]) -> Case:
    torch.manual_seed(7)
    prototypes = torch.randn(CLASSES, OLD) * 0.4
    prototypes[ABSENT] = 0
    counts = torch.tensor([4, 9, 2, 0, 7])
    sample = GallerySample(random_unit(24, OLD), torch.randint(-1, 3, (24,)), torch.arange(24) - 15)
    setting = MethodContext(FEATURES, CLASSES, 0, OldSpace(OLD, prototypes, counts, sample), TEACHER, slots=SLOTS)
    settings = TRAINED[name].settings_type(**SMALL.get(name, {}), **options)
    has_old = torch.tensor([True, True, False, True, True, False, True, True, True])
    labels = torch.tensor([0, 1, 2, ABSENT, 4, 0, 1, 2, 0])
    batch = Batch(
        encoded=torch.randn(ITEMS + 6, FEATURES),
        labels=labels,
        old=random_unit(ITEMS, OLD) * has_old[:, None],
        has_old=has_old,
        sample=sample,
        own_class_rows=RowsOfClasses(sample).of(labels, torch.arange(ITEMS), 24, 24, start=1),
        teacher=random_unit(ITEMS, TEACHER),
        pairs=Pairs(random_unit(6, OLD), augmented=2),
    )
    method = TRAINED[name](setting, settings).double()
    for weights in method.parameters():  # away from what initialisation makes special, such as identity matrices
        weights.data += 0.1 * torch.randn_like(weights)
    return Case(method, batch, settings)


def test_every_method_has_its_formula() -> None:
    assert set(FORMULAS) == set(TRAINED)


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=lambda value: str(value))
@pytest.mark.parametrize("paired", [True, False])
def test_losses_are_those_of_the_formula(name: str, options: dict[str, Any], paired: bool) -> None:
    case = made(name, options)
    if not paired:
        case = replace(case, batch=replace(case.batch, pairs=None))
    found = {term: value.item() for term, value in case.method.losses(case.batch).items()}
    expected = FORMULAS[name](case)
    assert set(found) == set(expected)
    for term, value in expected.items():
        assert found[term] == pytest.approx(value, rel=1e-6, abs=1e-6), term


def test_hoc_without_a_gallery_is_cross_entropy_alone() -> None:
    case = made("hoc", {})
    first = replace(case.batch, old=None, has_old=None)
    assert {name: value.item() for name, value in case.method.losses(first).items()} == pytest.approx(simplex(case))


def test_published_defaults() -> None:
    """As the papers, or else their code, have them."""
    published = {
        "oca": {"extra_dims": 32, "classification": 5, "prototypes": 10, "alignment": 5, "smoothing": 0.1},
        "bt2": {"extra_dims": 32, "new_weight": 2, "prototypes": 10, "alignment": 5, "teacher": 1, "classification": 1},
        "hoc": {"classes": 1024, "classification": 0.1, "scale": 10, "same_class": "zero"},
        "simplex": {"classes": 1024},
        "bct": {"influence": 1},
        "hot-refresh": {"hardest": 10, "temperature": 0.05},
    }
    for name, values in published.items():
        settings = TRAINED[name].settings_type()
        assert {field: getattr(settings, field) for field in values} == values


def test_cosine_classifier() -> None:
    torch.manual_seed(0)
    classifier, x = CosineClassifier(4, 3, 16.0), torch.randn(5, 4)
    slow = [list(cosines(classifier, row).values()) for row in x.numpy()]
    np.testing.assert_allclose(classifier(x).detach().numpy(), slow, rtol=0, atol=1e-9)


def test_bt2_head() -> None:
    head, x = made("bt2", {}).method.head, torch.randn(4, FEATURES)
    assert isinstance(head, Bt2Head)
    slow = [bt2_parts(head, row)[1] for row in x.numpy()]
    np.testing.assert_allclose(head(x).detach().numpy(), slow, rtol=0, atol=1e-9)
    for mixing in (head.mix_new.weight, head.mix_old.weight):
        torch.testing.assert_close(mixing @ mixing.T, torch.eye(len(mixing)), rtol=0, atol=1e-9)


def test_simplex_logits() -> None:
    case = made("simplex", {})
    method = case.method
    assert isinstance(method, SimplexMethod)
    z = torch.randn(3, OLD)
    corners = vertices(OLD + 1)
    logits = [{k: dot(row, corner) for k, corner in enumerate(corners)} for row in z.numpy()]
    slow = mean([ce(one, SLOTS[y]) for one, y in zip(logits, (0, 1, 4), strict=True)])
    assert method.classification(z, torch.tensor([0, 1, 4])).item() == pytest.approx(slow, abs=1e-6)


def test_gallery_head() -> None:
    """[ b ; o ] / sqrt(2), and o is the last coordinates of h before anything is remembered."""
    method, x = made("gallery", {}).method, torch.randn(4, FEATURES)
    assert isinstance(method, Gallery)
    assert isinstance(method.head, ImitatingHead)
    for row, found in zip(x, method.head(x).detach().numpy(), strict=True):
        own = n(linear(method.head.own, row.numpy())[OLD:])
        blend = method.head.outputs(row[None]).blended[0].detach().numpy()
        np.testing.assert_allclose(found, np.concatenate([blend, own]) / math.sqrt(2), rtol=0, atol=1e-9)


def test_oca_is_orthogonal_and_its_transform_a_part_of_its_classifier() -> None:
    """W (T h) = (W T) h with the rows of W T as long as those of W: T adds nothing that the classifier cannot be."""
    method = made("oca", {}).method
    assert isinstance(method, Oca)
    turn: Any = method.transform
    torch.testing.assert_close(turn.weight @ turn.weight.T, torch.eye(method.dim), rtol=0, atol=1e-9)
    together, h = method.classifier.weight @ turn.weight, random_unit(5, method.dim)
    torch.testing.assert_close(method.classifier(turn(h)), h @ together.T + method.classifier.bias, rtol=0, atol=1e-9)
    torch.testing.assert_close(together.norm(dim=1), method.classifier.weight.norm(dim=1), rtol=1e-9, atol=0)
