"""A head with two opinions on where an item lies in the old space, and a weight that says which one counts."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from skipfill.compat.method import CosineClassifier, unit


@dataclass(frozen=True)
class HeadShape:
    """What the head is built from.

    Attributes:
        features: F, of the encoder.
        view: d, of the old space.
        dim: d + e, of the embedding.
        classes, scale: of the classifier.
        strength: weight of the class view of an item that is surely known.
        sampled: whether unlabelled items of the gallery taught it what they look like.
    """

    features: int
    view: int
    dim: int
    classes: int
    scale: float
    strength: float
    sampled: bool

    def described(self) -> dict[str, int | float | bool]:
        return asdict(self)


@dataclass(frozen=True)
class Opinions:
    """N items as the head sees them.

    Attributes:
        embedding: h, (N, D), L2-normalised: the own space before the blend.
        classed: z = n(h[:d]), (N, d): trained to find the rows of the item's class.
        imitated: u, (N, d), L2-normalised: trained to be what the old encoder stored for the item.
        weight: w, (N, 1), of z against u.
        familiar: (N,) logit of labelled items against unlabelled ones of the gallery.
    """

    embedding: Tensor
    classed: Tensor
    imitated: Tensor
    weight: Tensor
    familiar: Tensor

    @property
    def blended(self) -> Tensor:
        """b = n(w z + u), (N, d)."""
        return unit(self.weight * self.classed + self.imitated)


class ImitatingHead(nn.Module):
    """features -> [ |h[:d]| b ; h[d:] ],  b = n(w z + u),  w = strength p min(1, r).

    p is the largest probability of the classifier. r = p(x | labelled) / p(x | gallery), a ratio of densities, is 0 for
    items like none that was labelled: a logistic regression of the two samples gives it (Sugiyama et al. 2012). It is
    left out where no unlabelled items were given.
    """

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.shape = shape
        self.own = nn.Linear(shape.features, shape.dim)
        self.imitation = nn.Linear(shape.features, shape.view)
        self.classifier = CosineClassifier(shape.dim, shape.classes, shape.scale)
        self.familiarity = nn.Sequential(
            nn.LayerNorm(shape.features, elementwise_affine=False), nn.Linear(shape.features, 1)
        )

    def opinions(self, features: Tensor) -> Opinions:
        """Both views of (N, F) features, and what weighs them."""
        own = self.own(features)
        embedding = unit(own)
        familiar = self.familiarity(features)
        weight = self.shape.strength * self.classifier(own).softmax(dim=1).amax(dim=1, keepdim=True)
        if self.shape.sampled:
            # Clamped first: the gradient of an exponential that overflows is not a number.
            weight = weight * familiar.clamp(max=0).exp()
        classed, imitated = unit(own[:, : self.shape.view]), unit(self.imitation(features))
        return Opinions(embedding, classed, imitated, weight, familiar[:, 0])

    def forward(self, features: Tensor) -> Tensor:
        seen = self.opinions(features)
        view, rest = seen.embedding[:, : self.shape.view], seen.embedding[:, self.shape.view :]
        return torch.cat([view.norm(dim=1, keepdim=True) * seen.blended, rest], dim=1)
