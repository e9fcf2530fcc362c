"""Documents of commands that run models. Their parts are defined where torch is loaded, so they stand apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from skipfill.cli.documents.models import ModelDocument
from skipfill.compat.advice.advise import Advised
from skipfill.compat.advice.decision import Outcome
from skipfill.compat.reranking.fill import Filled
from skipfill.compat.training.blending.weight import Measured


@dataclass(frozen=True)
class AdviceDocument:
    """A recommendation, and the table that it rests on.

    Attributes:
        advice: the table, the recommendation and its reason.
        outcome: that of the advice.
    """

    advice: Annotated[dict[str, Any], Advised]
    outcome: Outcome


@dataclass(frozen=True)
class BlendDocument(ModelDocument):
    """A model that mixes the query vectors of two models.

    Attributes:
        grid: every weight of every model that the items tried; empty without items.
        warnings: sentences on the queries that chose, and on what later queries need.
    """

    grid: list[Measured]
    warnings: list[str]


@dataclass(frozen=True, kw_only=True)
class FilledOverlayDocument(Filled):
    """An overlay to which vectors were added.

    Attributes:
        gallery: name of the gallery.
        model: name of the model that made the vectors.
    """

    gallery: str
    model: str
