"""Training without a compatibility term. New/new is the ceiling, new/old the chance floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import nn
from torch.nn.functional import cross_entropy

from skipfill.compat.methods.batch import Batch
from skipfill.compat.methods.method import Method, MethodContext, Terms
from skipfill.compat.nn.classifier import CosineClassifier
from skipfill.compat.settings import POSITIVE, SHARE, Range


@dataclass(frozen=True)
class Settings:
    """Attributes:
    dim: of an embedding without a gallery.
    extra_dims: added to the old dimension, so that it is comparable with the compatible methods.
    scale: of the cosine logits.
    """

    dim: Annotated[int, Range(1)] = 128
    extra_dims: int = 32
    scale: Annotated[float, POSITIVE] = 16.0
    smoothing: Annotated[float, SHARE] = 0.1


class Independent(Method):
    summary = "cross-entropy only; for a first model, and for the ceiling of an upgrade"
    source = "plain classification with cosine logits"
    needs_gallery = False
    takes_dim = True
    settings_type = Settings

    def __init__(self, context: MethodContext, settings: Settings) -> None:
        super().__init__(context, settings)
        own = settings.dim if context.old is None else context.old.dim + settings.extra_dims
        self.dim = context.dim or own
        self.view_dim = 0
        self.head = nn.Linear(context.features, self.dim)
        self.classifier = CosineClassifier(self.dim, context.classes, settings.scale)
        self.smoothing = settings.smoothing

    def losses(self, batch: Batch) -> Terms:
        logits = self.classifier(self.head(batch.features))
        return {"class": cross_entropy(logits, batch.labels, label_smoothing=self.smoothing)}
