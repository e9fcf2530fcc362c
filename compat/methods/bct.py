"""Backward-compatible training: the new embedding must also be classified by the old prototypes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from skipfill.compat.methods.batch import Batch
from skipfill.compat.methods.losses.prototypes import prototype_cross_entropy
from skipfill.compat.methods.method import MethodContext, PrefixMethod, Terms
from skipfill.compat.nn.classifier import CosineClassifier
from skipfill.compat.nn.normalize import unit
from skipfill.compat.settings import POSITIVE, SHARE


@dataclass(frozen=True)
class Settings:
    """Attributes:
    influence: lambda, weight of the old prototypes' cross-entropy.
    cosine: whether the logits of both classifiers are scaled cosines, which work far better. The published logits are
        inner products of vectors of any length (false), without smoothing.
    scale: scale of the cosine logits, 16 to 30; without cosines it has no effect.
    """

    extra_dims: int = 32
    influence: float = 1.0
    cosine: bool = True
    scale: Annotated[float, POSITIVE] = 16.0
    smoothing: Annotated[float, SHARE] = 0.1


class Bct(PrefixMethod):
    """Cross-entropy by its own classifier, and by class means of the stored vectors as a frozen old classifier.

    The class means take the place of the published old classifier, which is gone with the old model. The other choices
    of the paper are `bct.cosine=false`, `bct.smoothing=0`, and, for models of one dimension, `bct.extra_dims=0`.
    """

    summary = "cross-entropy, and the old class prototypes as a second, frozen classifier"
    source = "Shen et al. 2020, arXiv 2003.11942; cosine logits are ours"
    settings_type = Settings

    def __init__(self, context: MethodContext, settings: Settings) -> None:
        super().__init__(context, settings)
        self.classifier: nn.Module = (
            CosineClassifier(self.dim, context.classes, settings.scale)
            if settings.cosine
            else nn.Linear(self.dim, context.classes)
        )

    def losses(self, batch: Batch) -> Terms:
        embedding = self.head(batch.features)
        own = cross_entropy(self.classifier(embedding), batch.labels, label_smoothing=self.settings.smoothing)
        return {"class": own, "prototypes": self.settings.influence * self._by_prototypes(embedding, batch.labels)}

    def _by_prototypes(self, embedding: Tensor, labels: Tensor) -> Tensor:
        prototypes, own = self.old.present_prototypes, self.old.places[labels]
        if not self.settings.cosine:
            return prototype_cross_entropy(embedding[:, : self.view_dim], prototypes, own)
        compat = self.old_view(embedding)
        return prototype_cross_entropy(compat, unit(prototypes), own, scale=self.settings.scale)
