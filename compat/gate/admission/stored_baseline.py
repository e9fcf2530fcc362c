"""Stored vectors as the baseline: the gallery's model must make them of the queries' own items."""

from __future__ import annotations

import numpy as np

from skipfill.compat.gate.admission.ruling import Finding, Ruling
from skipfill.compat.gate.context import CheckContext
from skipfill.compat.inference.gallery_agreement import Agreement


def stored_as_encoded(context: CheckContext, agreement: Agreement) -> Ruling:
    """Find too many stored vectors that are not those of their items.

    Where ids were mixed up, the baseline of a query is another row's vector, and its own row can be found.
    """
    others = int((~agreement.alike).sum())
    count, gallery, model = len(agreement.alike), context.gallery.name, agreement.model
    said = f"in gallery {gallery}, {others} of {count} stored vectors differ from what {model} makes of the items"
    if agreement.nearly_all_alike:
        return Ruling(notes=[f"{said} with their ids; for these, {model} encoded the queries"] if others else [])
    claim = f"stored vectors of the queries that are what {model} makes of their items"
    found = f"{said} with their ids (median cosine {np.median(agreement.cosines):.3f})"
    return Ruling(findings=[Finding("stored as encoded", others, claim, found)])
