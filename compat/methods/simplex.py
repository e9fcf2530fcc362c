"""A frozen d-simplex classifier: any two models trained on the same simplex share one space."""

from __future__ import annotations

from skipfill.compat.batch import Batch
from skipfill.compat.method import Terms
from skipfill.compat.simplex import SimplexMethod, SimplexSettings


class Simplex(SimplexMethod):
    summary = "cross-entropy on a frozen simplex; old and new model must both be trained this way"
    source = "Biondi et al. 2021/2024, arXiv 2111.07632 and 2405.02581"
    settings_type = SimplexSettings

    def losses(self, batch: Batch) -> Terms:
        return {"class": self.classification(self.head(batch.features), batch.labels)}
