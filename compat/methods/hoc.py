"""Higher-order compatibility: the frozen simplex, and each item told apart by its own stored vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from skipfill.compat.losses.information import SameClass, stored_information
from skipfill.compat.method import Batch, Terms, unit
from skipfill.compat.simplex import SimplexMethod


@dataclass(frozen=True)
class Settings:
    """The published code's values.

    Attributes:
        classes: K, at least all classes ever expected; the embedding has K - 1 dimensions.
    slots: the end of the simplex that new classes are put at, as in `simplex`.
        classification: lambda, weight of the cross-entropy; 1 - lambda is that of the information term.
        scale: mu, of the cosines.
        same_class: what becomes of pairs of one class in the sum, see `stored_information`; `zero` as in the code.
    """

    classes: int = 1024
    slots: Literal["front", "back"] = "front"
    classification: float = 0.1
    scale: float = 10.0
    same_class: SameClass = "zero"


class Hoc(SimplexMethod):
    """lambda CE + (1 - lambda) iNCE.

    The first model of a sequence has no gallery and so no stored vectors: it is trained with CE alone, weight 1.
    """

    summary = "simplex, and a contrast of each item's stored vector; the first model is made with it too"
    source = "Biondi et al. 2024, arXiv 2405.02581, eq. 4"
    settings_type = Settings

    def losses(self, batch: Batch) -> Terms:
        settings, embedding = self.settings, self.head(batch.features)
        own = self.classification(embedding, batch.labels)
        if batch.old is None or batch.has_old is None:
            return {"class": own}
        near = stored_information(
            unit(embedding),
            batch.old,
            batch.labels,
            batch.has_old,
            scale=settings.scale,
            same_class=settings.same_class,
        )
        return {"class": settings.classification * own, "information": (1 - settings.classification) * near}
