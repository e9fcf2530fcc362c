"""The candidate's queries in its view onto the gallery's space: what a swap does."""

from __future__ import annotations

from skipfill.compat.advice.candidate import Candidate
from skipfill.compat.advice.rows.row import Missing, Row, among_all_rows
from skipfill.compat.gate.admission.ruling import Mask
from skipfill.store.checks.names import NEW_OLD

COST = 1


def view_row(candidate: Candidate, choosing: Mask) -> Row | Missing:
    """The row of a view: a query is encoded once, and no stored row is encoded again."""
    [values] = candidate.ranked({f"{candidate.name} by its view": candidate.vectors.by_pair[NEW_OLD]}).values()
    rows = candidate.context.gallery.rows.count
    alternative = among_all_rows(candidate, COST, values)
    return Row(candidate.name, "view", candidate, alternative, candidate.staying, rows)
