"""A release: the model that queries of a gallery use, and how it answers them."""

from __future__ import annotations

from dataclasses import dataclass, field

from skipfill.store.checks.report import Threshold
from skipfill.store.checks.reranking import Reranking, way_fingerprint, way_words
from skipfill.store.spaces import View


@dataclass(frozen=True)
class Release:
    """The model, view and thresholds that queries use.

    Attributes:
        model: name of the model that encodes queries.
        fingerprint: fingerprint of that model, so that another model under the same name is noticed.
        view: from the model's space onto the gallery's.
        check: id of the check that allowed it; empty for the space's own model or a forced swap.
        without_check: the reason given for swapping without one.
        thresholds: thresholds for this model's scores, as that check transferred them; empty in old files.
        rerank: how the model re-ranks rows of the old space; None where its view alone finds them.
    """

    model: str
    fingerprint: str
    view: View
    check: str = ""
    without_check: str = ""
    thresholds: list[Threshold] = field(default_factory=list)
    rerank: Reranking | None = None

    def __str__(self) -> str:
        return way_words(self.model, self.rerank)

    @property
    def way(self) -> str:
        """Fingerprint of how queries are answered: see `way_fingerprint`."""
        return way_fingerprint(self.fingerprint, self.rerank)
