"""Orthogonal compatible aligned: extra dimensions and an orthogonal layer that is used in training only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.parametrizations import orthogonal

from skipfill.compat.methods.batch import Batch
from skipfill.compat.methods.losses.alignment import cosine_alignment
from skipfill.compat.methods.losses.prototypes import prototype_cross_entropy
from skipfill.compat.methods.method import MethodContext, PrefixMethod, Terms
from skipfill.compat.nn.normalize import unit
from skipfill.compat.settings import SHARE


@dataclass(frozen=True)
class Settings:
    """Settings of `Oca`; the defaults are those of the published code.

    That code trains with Adam at 1e-3, weight decay 2^-15 and batches of 64 for 100 epochs.

    Attributes:
        classification, prototypes, alignment: weights of the three terms.
        smoothing: of both cross-entropies.
        transform: train the orthogonal layer T. Without it, the classifier W' = W T is of the same function class.
        cosine: pull each item onto the prototype of its class; false leaves the term out, as in the published ablation.
    """

    extra_dims: int = 32
    classification: float = 5.0
    prototypes: float = 10.0
    alignment: float = 5.0
    smoothing: Annotated[float, SHARE] = 0.1
    transform: bool = True
    cosine: bool = True


class Oca(PrefixMethod):
    """Extra dimensions, and an orthogonal layer T between the embedding h and the classifier.

    Retrieval uses h, without T. Prototypes are class means, not renormalised, and there is no temperature. Unlike in
    the published code, items of a class without stored rows have no loss by prototypes and no alignment.
    """

    summary = "extra dimensions; the others are classified by the old class prototypes and drawn to them"
    source = "Ricci et al. 2024, arXiv 2408.08793"
    settings_type = Settings

    def __init__(self, context: MethodContext, settings: Settings) -> None:
        super().__init__(context, settings)
        self.transform: nn.Module = (
            orthogonal(nn.Linear(self.dim, self.dim, bias=False), orthogonal_map="cayley")
            if settings.transform
            else nn.Identity()
        )
        self.classifier = nn.Linear(self.dim, context.classes)

    def losses(self, batch: Batch) -> Terms:
        weights = self.settings
        embedding = unit(self.head(batch.features))
        compat = self.old_view(embedding)
        logits = self.classifier(self.transform(embedding))
        own = cross_entropy(logits, batch.labels, label_smoothing=weights.smoothing)
        places = self.old.places[batch.labels]
        old = prototype_cross_entropy(compat, self.old.present_prototypes, places, smoothing=weights.smoothing)
        terms = {"class": weights.classification * own, "prototypes": weights.prototypes * old}
        if weights.cosine:
            near = cosine_alignment(compat, self.old.prototypes[batch.labels], self.old.present[batch.labels])
            terms["alignment"] = weights.alignment * near
        return terms
