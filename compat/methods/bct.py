"""Backward-compatible training: the new embedding must also be classified by the old prototypes."""

from __future__ import annotations

from dataclasses import dataclass

from torch.nn.functional import cross_entropy

from skipfill.compat.losses.prototypes import prototype_cross_entropy
from skipfill.compat.method import Batch, CosineClassifier, PrefixMethod, Setting, Terms, unit


@dataclass(frozen=True)
class Settings:
    """Attributes:
    influence: lambda, weight of the old prototypes' cross-entropy.
    scale: of both cosine logits. The published code has none; 16 to 30 works far better.
    """

    extra_dims: int = 32
    influence: float = 1.0
    scale: float = 16.0
    smoothing: float = 0.1


class Bct(PrefixMethod):
    summary = "cross-entropy, and the old class prototypes as a second, frozen classifier"
    source = "Shen et al. 2020, arXiv 2003.11942; cosine logits are ours"
    settings_type = Settings

    def __init__(self, setting: Setting, settings: Settings) -> None:
        super().__init__(setting, settings)
        self.classifier = CosineClassifier(self.dim, setting.classes, settings.scale)

    def losses(self, batch: Batch) -> Terms:
        embedding = self.head(batch.features)
        compat = self.compat(embedding)
        old = prototype_cross_entropy(
            compat, unit(self.old.prototypes), self.old.present, batch.labels, scale=self.settings.scale
        )
        new = cross_entropy(self.classifier(embedding), batch.labels, label_smoothing=self.settings.smoothing)
        return {"class": new, "prototypes": self.settings.influence * old}
