"""The head of `gallery`: a class view and an imitation of the old encoder, and their weights in a blend."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Annotated

import torch
from torch import Tensor, nn

from skipfill.compat.methods.batch import GallerySample, UnlabelledFeatures
from skipfill.compat.methods.gallery.memory import ASKED, MOST, SAME, DensityRatio, ItemMemory
from skipfill.compat.methods.gallery.own_space import OwnSpace
from skipfill.compat.methods.gallery.within_class import within_class_map
from skipfill.compat.nn.classifier import CosineClassifier
from skipfill.compat.nn.logistic import fit_logistic, log_odds
from skipfill.compat.nn.normalize import unit
from skipfill.compat.settings import MOST_CLASSES, WIDEST, WIDEST_FEATURES, Range

STRANGE, RAMP = -0.5, 0.5  # centre and width of the step from strange to known, in log odds
VIEWED = 0.5  # share of the view in the squared length of an embedding
FEWEST_OF_A_KIND = 20  # fewest items of each kind, known and strange, to fit the weights of evidence


@dataclass(frozen=True)
class HeadShape:
    """Sizes and settings that the head is built from.

    Attributes:
        features: F, of the encoder.
        view: d, of the old space.
        dim: d + e, of the embedding.
        classes, scale: of the classifier.
        strength: weight of the class view of an item that is surely of a known class.
        rows, items: number of stored rows and of unlabelled items that it remembers.
        within_class: whether M differs from the identity.
    """

    features: Annotated[int, Range(1, WIDEST_FEATURES)]
    view: Annotated[int, Range(1, WIDEST)]
    dim: Annotated[int, Range(1, WIDEST)]
    classes: Annotated[int, Range(1, MOST_CLASSES)]
    scale: float
    strength: float
    rows: Annotated[int, Range(0, MOST)] = 0
    items: Annotated[int, Range(0, MOST)] = 0
    within_class: bool = False

    def described(self) -> dict[str, int | float]:
        return asdict(self)


@dataclass(frozen=True)
class HeadOutputs:
    """Outputs of the head for N items.

    Attributes:
        hidden: h, (N, d + e), not normalised: the classifier's input.
        logits: (N, C) of the classifier.
        class_view: z = n(h[:d]), (N, d): trained to find the rows of the item's class.
        imitation: u, (N, d), L2-normalised: an estimate of what the old encoder would have stored for the item.
        query_view: n(M u), (N, d): u as it searches the stored rows.
        class_weight: w, (N, 1), weight of z against the query view.
        recalled: (N, d), added from the memory of items; 0 without one.
    """

    hidden: Tensor
    logits: Tensor
    class_view: Tensor
    imitation: Tensor
    query_view: Tensor
    class_weight: Tensor
    recalled: Tensor | float

    @property
    def blended(self) -> Tensor:
        """b = n(w z + n(M u) + recalled), (N, d)."""
        return unit(self.class_weight * self.class_view + self.query_view + self.recalled)


class ImitatingHead(nn.Module):
    """features -> [ b ; o ] / sqrt(2),  b = n(strength p s z + n(M u) + (1 - s) a k),  o its own space (`OwnSpace`).

    A class is known if the model was trained on it, and strange if not. p is the largest probability of the classifier.
    s in [0, 1] says how surely the item is of a known class. It is a steep step of the log odds

        w_1 (of the remembered items around its features) + w_2 (of the stored rows around u) + w_0,

    where each bracket is the log odds of a `DensityRatio`. The weights w come from a logistic regression over the
    remembered items, each judged by the others. With too few items of either kind, only the rows count. The step is a
    little below 0, because in most galleries fewer classes are strange than known.

    k is the stored vector of the most similar strange item, and a is the trust in it (see `ItemMemory`). M weakens the
    directions of u that say little about the class (see `within_class_map`). Before anything is remembered, s is 1 and
    M is the identity.
    """

    evidence: Tensor
    within_class: Tensor | None

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.shape = shape
        self.own = nn.Linear(shape.features, shape.dim)
        self.imitation = nn.Linear(shape.features, shape.view)
        self.classifier = CosineClassifier(shape.dim, shape.classes, shape.scale)
        self.space = OwnSpace(shape.features, shape.dim, shape.dim - shape.view)
        self.rows = DensityRatio(shape.rows, shape.view)
        self.items = ItemMemory(shape.items, shape.features, shape.view)
        self.register_buffer("within_class", torch.zeros(shape.view, shape.view) if shape.within_class else None)
        self.register_buffer("evidence", torch.tensor([0.0, 1.0, 0.0]))

    def outputs(self, features: Tensor) -> HeadOutputs:
        """Both views of (N, F) features, and their weights."""
        hidden, imitation = self.own(features), self.imitate(features)
        logits = self.classifier(hidden)
        known, recalled = self._known(features, imitation)
        return HeadOutputs(
            hidden=hidden,
            logits=logits,
            class_view=unit(hidden[:, : self.shape.view]),
            imitation=imitation,
            query_view=imitation if self.within_class is None else unit(imitation @ self.within_class),
            class_weight=self.shape.strength * logits.softmax(dim=1).amax(dim=1, keepdim=True) * known,
            recalled=recalled,
        )

    def imitate(self, features: Tensor) -> Tensor:
        """u: (N, F) -> (N, d), L2-normalised."""
        return unit(self.imitation(features))

    def _known(self, features: Tensor, imitation: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """s, (N, 1), and (1 - s) a k, (N, d)."""
        if not (self.shape.items or self.shape.rows):
            return 1.0, 0.0
        recalled, by_items, by_rows = torch.zeros_like(imitation), *imitation.new_zeros(2, len(imitation), 1)
        if self.shape.items:
            alike = self.items.keys_of(features) @ self.items.keys.T
            recalled, by_items = self.items.recalled(alike), self.items.log_odds(alike)
        if self.shape.rows:
            by_rows = self.rows.log_odds(imitation @ self.rows.keys.T)
        odds = log_odds(torch.cat([by_items, by_rows], dim=1), self.evidence)
        known = ((odds - STRANGE) / RAMP + 0.5).clamp(0, 1)
        return known, (1 - known) * recalled

    def remember(self, rows: GallerySample, trained: Tensor, items: UnlabelledFeatures | None) -> None:
        """Fill the parts that are not trained: own space, M, the two memories, and the weights of their evidence.

        Stored rows are remembered if some of them are of a training class and some are not. Unlabelled items are
        remembered if there are any. At most 8,192 of each kind are kept. Until then, every item counts as of a known
        class, and the own space is n(h[d:]).

        Args:
            rows: stored rows of the pool, in random order.
            trained: (N, F) features of training items without augmentation.
            items: unlabelled items of the gallery.
        """
        rows = GallerySample(rows.vectors[:MOST], rows.labels[:MOST], rows.items[:MOST])
        with torch.no_grad():
            self.space.learn(trained, self.own(trained))
        found = within_class_map(rows)
        self.within_class = None if found is None else found.to(self.own.weight)
        if items is not None:
            self.items.learn(items, rows)
        known = rows.labels >= 0
        if known.any() and not known.all():
            self.rows.hold(rows.vectors, known)
        if items is not None:
            self._weigh_evidence(items)
        kept = {"rows": len(self.rows.keys), "items": len(self.items.keys)}
        self.shape = replace(self.shape, **kept, within_class=self.within_class is not None)

    def _weigh_evidence(self, items: UnlabelledFeatures) -> None:
        asked = torch.arange(min(len(items.old), ASKED))
        known = items.labels[asked] >= 0
        if min(int(known.sum()), int((~known).sum())) < FEWEST_OF_A_KIND:
            return
        cosines = items.old[asked] @ self.rows.keys.T
        # An item's own row, and any equal row, is left out: it says nothing about the rows around the item.
        by_rows = self.rows.log_odds(cosines.masked_fill(cosines > 1 - SAME, -torch.inf))
        by_items = self.items.log_odds(self.items.cosines_of_others(asked))
        self.evidence = fit_logistic(torch.cat([by_items, by_rows], dim=1), known, balanced=True)

    def forward(self, features: Tensor) -> Tensor:
        outputs = self.outputs(features)
        own = self.space(features, outputs.hidden)
        return torch.cat([VIEWED**0.5 * outputs.blended, (1 - VIEWED) ** 0.5 * own], dim=1)
