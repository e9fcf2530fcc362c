"""Pull each new embedding onto the item's own stored vector: a strong baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from skipfill.compat.methods.batch import Batch
from skipfill.compat.methods.losses.alignment import cosine_alignment
from skipfill.compat.methods.method import CosinePrefixMethod, Terms
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


class L2(CosinePrefixMethod):
    summary = "cross-entropy, and each item's own stored vector as a target"
    source = "the l2 baseline of Hot-Refresh, Zhang et al. 2022, arXiv 2201.09724"
    settings_type = Settings

    def losses(self, batch: Batch) -> Terms:
        assert batch.old is not None
        settings = self.settings
        embedding = self.head(batch.features)
        own = self.classification(embedding, batch.labels)
        near = cosine_alignment(self.old_view(embedding), batch.old, batch.has_old)
        return {"class": own, "stored": settings.stored * near}
