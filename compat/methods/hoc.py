"""Higher-order compatibility: the frozen simplex, and a contrast of each item with its own stored vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from skipfill.compat.methods.batch import Batch
from skipfill.compat.methods.losses.information import SameClass, stored_information
from skipfill.compat.methods.method import Terms
from skipfill.compat.methods.simplex import SimplexMethod, SimplexSettings
from skipfill.compat.nn.normalize import unit
from skipfill.compat.settings import POSITIVE, SHARE


@dataclass(frozen=True)
class Settings(SimplexSettings):
    """Settings of `Hoc`; the defaults are those of the published code. `SimplexSettings` has those of the simplex.

    Attributes:
        classification: lambda, weight of the cross-entropy; 1 - lambda is that of the information term.
        scale: mu, scale of the cosines.
        same_class: how pairs of one class enter the sum, see `stored_information`; the published code has `zero`.
    """

    classification: Annotated[float, SHARE] = 0.1
    scale: Annotated[float, POSITIVE] = 10.0
    same_class: SameClass = "zero"


class Hoc(SimplexMethod):
    """lambda CE + (1 - lambda) iNCE: cross-entropy on the simplex, and `stored_information`.

    The first model of a sequence has no gallery and so no stored vectors. It is trained with CE alone, with weight 1.
    """

    summary = "simplex, and a contrastive loss with each item's stored vector; begin the sequence with hoc or simplex"
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
