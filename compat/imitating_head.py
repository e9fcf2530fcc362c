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
    """

    embedding: Tensor
    classed: Tensor
    imitated: Tensor
    weight: Tensor

    @property
    def blended(self) -> Tensor:
        """b = n(w z + u), (N, d)."""
        return unit(self.weight * self.classed + self.imitated)


class ImitatingHead(nn.Module):
    """features -> [ |h[:d]| b ; h[d:] ],  b = n(w z + u),  w = strength p r^2.

    p is the largest probability of the classifier, and r in [0, 1] how familiar the item is: whether the stored rows
    around u, and the remembered items around h, are of training classes (see `Points`). Where items are remembered, u
    is the imitation that was trained and what is stored for the items most alike, n(u + a k) (see `Memory`).
    """

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.shape = shape
        self.own = nn.Linear(shape.features, shape.dim)
        self.imitation = nn.Linear(shape.features, shape.view)
        self.classifier = CosineClassifier(shape.dim, shape.classes, shape.scale)
        self.rows = Points(shape.rows, shape.view)
        self.items = Memory(shape.items, shape.dim, shape.view)

    def opinions(self, features: Tensor) -> Opinions:
        """Both views of (N, F) features, and what weighs them."""
        own = self.own(features)
        embedding = unit(own)
        classed, imitated = unit(own[:, : self.shape.view]), unit(self.imitation(features))
        weight = self.shape.strength * self.classifier(own).softmax(dim=1).amax(dim=1, keepdim=True)
        if self.shape.items:
            alike = self.items.logits(embedding)
            imitated = unit(imitated + self.items.trust * self.items.recalled(alike))
            weight = weight * self.items.familiar(alike) ** 2
        if self.shape.rows:
            weight = weight * self.rows.familiar(self.rows.logits(imitated)) ** 2
        return Opinions(embedding, classed, imitated, weight)

    def remember(self, rows: StoredSample, items: Remembered | None) -> None:
        """Keep stored rows, and unlabelled items; at most 8,192 of each. Before, every item is as familiar."""
        if items is not None:
            with torch.no_grad():
                seen = self.opinions(items.features)
            self.items.learn(seen.embedding, seen.imitated, items)
        self.rows.hold(rows.vectors[:MOST], rows.labels[:MOST] >= 0)
        self.shape = replace(self.shape, rows=len(self.rows.keys), items=len(self.items.keys))

    def forward(self, features: Tensor) -> Tensor:
        seen = self.opinions(features)
        view, rest = seen.embedding[:, : self.shape.view], seen.embedding[:, self.shape.view :]
        return torch.cat([view.norm(dim=1, keepdim=True) * seen.blended, rest], dim=1)
