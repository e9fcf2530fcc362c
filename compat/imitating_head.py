"""A head with two opinions on where an item lies in the old space, and what says which one counts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor, nn

from skipfill.compat.memory import MOST, Memory, Points
from skipfill.compat.method import CosineClassifier, Remembered, StoredSample, unit


@dataclass(frozen=True)
class HeadShape:
    """What the head is built from.

    Attributes:
        features: F, of the encoder.
        view: d, of the old space.
        dim: d + e, of the embedding.
        classes, scale: of the classifier.
        strength: weight of the class view of an item that is surely known.
        rows, items: how many stored rows, and unlabelled items, it remembers.
    """

    features: int
    view: int
    dim: int
    classes: int
    scale: float
    strength: float
    rows: int = 0
    items: int = 0

    def described(self) -> dict[str, int | float]:
        return asdict(self)


@dataclass(frozen=True)
class Opinions:
    """N items as the head sees them.

    Attributes:
        embedding: h, (N, D), L2-normalised: the own space before the blend.
        classed: z = n(h[:d]), (N, d): trained to find the rows of the item's class.
        imitated: u, (N, d), L2-normalised: what the old encoder may have stored for the item.
        weight: w, (N, 1), of z against u.
        recalled: (N, d) what the memory of items adds to u; zeros without one.
    """

    embedding: Tensor
    classed: Tensor
    imitated: Tensor
    weight: Tensor
    recalled: Tensor

    @property
    def blended(self) -> Tensor:
        """b = n(w z + u + recalled), (N, d)."""
        return unit(self.weight * self.classed + self.imitated + self.recalled)


class ImitatingHead(nn.Module):
    """features -> [ |h[:d]| b ; h[d:] ],  b = n(strength p s z + u + (1 - s) a k),  s = max(0, 2 r - 1).

    p is the largest probability of the classifier, and r in [0, 1] how familiar the item is: whether the remembered
    items around its features, and the stored rows around u + a k, are of training classes (see `Points`; r is the
    product). What is half familiar gets no weight: z ruins an item of an unknown class, and does not lift one of a
    known class by as much. k is what is stored for the item most alike, and a how far to trust it (see `Memory`); it
    is for what is strange. Before anything is remembered, s is 1.
    """

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.shape = shape
        self.own = nn.Linear(shape.features, shape.dim)
        self.imitation = nn.Linear(shape.features, shape.view)
        self.classifier = CosineClassifier(shape.dim, shape.classes, shape.scale)
        self.rows = Points(shape.rows, shape.view)
        self.items = Memory(shape.items, shape.features, shape.view)

    def imitated(self, features: Tensor) -> Tensor:
        """u of (N, F) features as it was trained: (N, d), L2-normalised, nothing remembered."""
        return unit(self.imitation(features))

    def opinions(self, features: Tensor) -> Opinions:
        """Both views of (N, F) features, and what weighs them."""
        own = self.own(features)
        embedding = unit(own)
        classed, imitated = unit(own[:, : self.shape.view]), self.imitated(features)
        sure = self.classifier(own).softmax(dim=1).amax(dim=1, keepdim=True)
        recalled, familiar = torch.zeros_like(imitated), torch.ones_like(sure)
        if self.shape.items:
            alike = self.items.keys_of(features) @ self.items.keys.T
            recalled = self.items.trust * self.items.recalled(alike)
            familiar = familiar * self.items.familiar(alike)
        if self.shape.rows:
            familiar = familiar * self.rows.familiar(unit(imitated + recalled) @ self.rows.keys.T)
        known = (2 * familiar - 1).clamp(min=0)
        return Opinions(embedding, classed, imitated, self.shape.strength * sure * known, (1 - known) * recalled)

    def remember(self, rows: StoredSample, items: Remembered | None) -> None:
        """Keep stored rows, where some are of no training class, and unlabelled items: at most 8,192 of each.

        Before, every item is familiar.
        """
        if items is not None:
            self.items.learn(items, StoredSample(rows.vectors[:MOST], rows.labels[:MOST], rows.items[:MOST]))
        known = rows.labels[:MOST] >= 0
        if known.any() and not known.all():
            self.rows.hold(rows.vectors[:MOST], known)
        self.shape = replace(self.shape, rows=len(self.rows.keys), items=len(self.items.keys))

    def forward(self, features: Tensor) -> Tensor:
        seen = self.opinions(features)
        view, rest = seen.embedding[:, : self.shape.view], seen.embedding[:, self.shape.view :]
        return torch.cat([view.norm(dim=1, keepdim=True) * seen.blended, rest], dim=1)
