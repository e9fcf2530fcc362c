"""Pull each new embedding onto the item's own stored vector: a strong baseline, not a null one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch.nn.functional import cross_entropy

from skipfill.compat.losses.alignment import cosine_alignment
from skipfill.compat.methods.batch import Batch
from skipfill.compat.methods.method import MethodContext, PrefixMethod, Terms
from skipfill.compat.nn.classifier import CosineClassifier
from skipfill.compat.settings import POSITIVE, SHARE


@dataclass(frozen=True)
class Settings:
    """Attributes:
    stored: weight of the cosine to the stored vector; of unit vectors, 1 - cos is half the squared distance.
    scale: of the classifier's cosine logits.
    """

    extra_dims: int = 32
    stored: float = 5.0
    scale: Annotated[float, POSITIVE] = 16.0
    smoothing: Annotated[float, SHARE] = 0.1


class L2(PrefixMethod):
    summary = "cross-entropy, and each item's own stored vector as a target"
    source = "the l2 baseline of Hot-Refresh, Zhang et al. 2022, arXiv 2201.09724"
    settings_type = Settings

    def __init__(self, setting: MethodContext, settings: Settings) -> None:
        super().__init__(setting, settings)
        self.classifier = CosineClassifier(self.dim, setting.classes, settings.scale)

    def losses(self, batch: Batch) -> Terms:
        assert batch.old is not None
        settings = self.settings
        embedding = self.head(batch.features)
        own = cross_entropy(self.classifier(embedding), batch.labels, label_smoothing=settings.smoothing)
        near = cosine_alignment(self.compat(embedding), batch.old, batch.has_old)
        return {"class": own, "stored": settings.stored * near}
