"""Training against the stored gallery itself: its rows as neighbours, its class means as a classifier."""

from __future__ import annotations

from dataclasses import dataclass

from torch.nn.functional import cross_entropy

from skipfill.compat.losses.alignment import cosine_alignment
from skipfill.compat.losses.neighbours import stored_neighbours
from skipfill.compat.losses.prototypes import prototype_cross_entropy
from skipfill.compat.losses.rankings import ranking_divergence
from skipfill.compat.method import Batch, CosineClassifier, PrefixMethod, Setting, Terms, unit
from skipfill.compat.temperature import prototype_temperature, row_temperature


@dataclass(frozen=True)
class Settings:
    """Attributes:
    scale: of the own classifier's cosine logits.
    softness: temperatures over stored rows and class means, as a multiple of those at which the stored rows
        themselves best tell each other's class.
    align: weight of the cosine to the stored vector, on unlabelled items.
    ranking: weight of keeping the stored vector's own ranking, on unlabelled items.
    """

    extra_dims: int = 32
    scale: float = 16.0
    softness: float = 2.0
    align: float = 5.0
    ranking: float = 1.0
    smoothing: float = 0.1


class Gallery(PrefixMethod):
    summary = "ours: stored rows as neighbours, prototypes, and (--align) rows that nobody labelled"
    source = "skipfill; the neighbour term after Goldberger et al. 2004"
    needs_sample = True
    uses_align = True
    settings_type = Settings

    def __init__(self, setting: Setting, settings: Settings) -> None:
        super().__init__(setting, settings)
        self.classifier = CosineClassifier(self.dim, setting.classes, settings.scale)
        self.tau = settings.softness * row_temperature(self.old.pool)
        self.tau_prototypes = settings.softness * prototype_temperature(self.old)

    def losses(self, batch: Batch) -> Terms:
        assert batch.sample is not None
        settings, rows = self.settings, batch.sample
        embedding = self.head(batch.features)
        compat = self.compat(embedding)
        own = cross_entropy(self.classifier(embedding), batch.labels, label_smoothing=settings.smoothing)
        old = prototype_cross_entropy(
            compat, unit(self.old.prototypes), self.old.present, batch.labels, scale=1 / self.tau_prototypes
        )
        near = stored_neighbours(compat, batch.labels, batch.items, rows.vectors, rows.labels, rows.items, tau=self.tau)
        terms = {"class": own, "prototypes": old, "neighbours": near}
        if batch.align is not None:
            view = self.compat(self.head(batch.align.features))
            terms["align"] = settings.align * cosine_alignment(view, batch.align.old)
            terms["ranking"] = settings.ranking * ranking_divergence(
                view, batch.align.old, rows.vectors, batch.align.rows, tau=self.tau, target_tau=self.tau
            )
        return terms
