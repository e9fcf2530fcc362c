"""The candidate's queries in its view onto the gallery's space: what a swap does."""

from __future__ import annotations

from skipfill.compat.advice.candidate import Candidate
from skipfill.compat.advice.rows.row import Missing, Row, among_all_rows
from skipfill.compat.gate.admission.ruling import Mask
from skipfill.store.checks.names import NEW_OLD

COST = 1


def view_row(candidate: Candidate, choosing: Mask) -> Row | Missing:
    """One encoding a query, no stored row encoded again."""
    values = candidate.ranked(candidate.vectors.by_pair[NEW_OLD], f"{candidate.name} by its view")
    rows = candidate.context.gallery.rows.count
    alternative = among_all_rows(candidate, COST, values)
    return Row(candidate.name, "view", candidate, alternative, candidate.staying, rows)
