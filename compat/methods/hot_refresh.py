"""Hot refresh: each item's own stored vector against the hardest vectors, stored and new, of other classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from skipfill.compat.methods.batch import Batch
from skipfill.compat.methods.losses.refresh import refresh_contrast
from skipfill.compat.methods.method import CosinePrefixMethod, Terms
from skipfill.compat.settings import POSITIVE, SHARE


@dataclass(frozen=True)
class Settings:
    """Attributes:
    contrast: weight of the contrast.
    temperature: of the contrast; 0.01 to 0.05 is published.
    hardest: number of negatives of each kind, new-old and new-new.
    scale: of the classifier's cosine logits. The published code has 30 and a margin of 0.3; here there is no margin.
    """

    extra_dims: int = 32
    contrast: float = 1.0
    temperature: Annotated[float, POSITIVE] = 0.05
    hardest: int = 10
    scale: Annotated[float, POSITIVE] = 16.0
    smoothing: Annotated[float, SHARE] = 0.1


class HotRefresh(CosinePrefixMethod):
    """Cross-entropy, and `refresh_contrast` with both kinds of negatives in the old space.

    The published embedding has the old dimension, as with `extra_dims` 0.
    """

    summary = "cross-entropy; each item's stored vector against the hardest ones of other classes"
    source = "Zhang et al. 2022, arXiv 2201.09724"
    settings_type = Settings

    def losses(self, batch: Batch) -> Terms:
        assert batch.old is not None
        assert batch.has_old is not None
        settings = self.settings
        embedding = self.head(batch.features)
        own = self.classification(embedding, batch.labels)
        near = refresh_contrast(
            self.old_view(embedding),
            batch.old,
            batch.labels,
            batch.has_old,
            tau=settings.temperature,
            hardest=settings.hardest,
        )
        return {"class": own, "contrast": settings.contrast * near}
