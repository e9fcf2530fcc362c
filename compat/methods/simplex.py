"""A frozen d-simplex classifier: any two models trained on the same simplex share one space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from skipfill.compat.method import Batch, Terms
from skipfill.compat.simplex import SimplexMethod


@dataclass(frozen=True)
class Settings:
    """Attributes:
    classes: K, at least all classes ever expected; the embedding has K - 1 dimensions.
    slots: the end of the simplex that new classes are put at. Parties that train without knowing of each other's
        classes take opposite ends, so that a later model can know both.
    """

    classes: int = 1024
    slots: Literal["front", "back"] = "front"


class Simplex(SimplexMethod):
    summary = "cross-entropy on a frozen simplex; old and new model must both be trained this way"
    source = "Biondi et al. 2021/2024, arXiv 2111.07632 and 2405.02581"
    settings_type = Settings

    def losses(self, batch: Batch) -> Terms:
        return {"class": self.classification(self.head(batch.features), batch.labels)}
