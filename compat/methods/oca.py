"""Orthogonal compatible aligned: extra dimensions and an orthogonal layer that is used in training only."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.parametrizations import orthogonal

from skipfill.compat.losses.alignment import cosine_alignment
from skipfill.compat.losses.prototypes import prototype_cross_entropy
from skipfill.compat.method import Batch, PrefixMethod, Setting, Terms, unit


@dataclass(frozen=True)
class Settings:
    """The published code's values.

    Attributes:
        transform: train T; without it, W' = WT is the same function class.
        alignment: weight of the cosine term.
    """

    extra_dims: int = 32
    classification: float = 5.0
    prototypes: float = 10.0
    alignment: float = 5.0
    smoothing: float = 0.1
    transform: bool = True


class Oca(PrefixMethod):
    summary = "extra dimensions; the first ones classified by, and pulled onto, the old prototypes"
    source = "Ricci et al. 2024, arXiv 2408.08793"
    settings_type = Settings

    def __init__(self, setting: Setting, settings: Settings) -> None:
        super().__init__(setting, settings)
        self.transform: nn.Module = (
            orthogonal(nn.Linear(self.dim, self.dim, bias=False), orthogonal_map="cayley")
            if settings.transform
            else nn.Identity()
        )
        self.classifier = nn.Linear(self.dim, setting.classes)

    def losses(self, batch: Batch) -> Terms:
        weights = self.settings
        embedding = unit(self.head(batch.features))
        compat = self.compat(embedding)
        logits = self.classifier(self.transform(embedding))
        own = cross_entropy(logits, batch.labels, label_smoothing=weights.smoothing)
        old = prototype_cross_entropy(
            compat, self.old.prototypes, self.old.present, batch.labels, smoothing=weights.smoothing
        )
        near = cosine_alignment(compat, self.old.prototypes[batch.labels], self.old.present[batch.labels])
        return {
            "class": weights.classification * own,
            "prototypes": weights.prototypes * old,
            "alignment": weights.alignment * near,
        }
