"""Re-ranking: the candidate orders the rows that a search in the old space finds. One row of the table for each K."""

from __future__ import annotations

from functools import partial

import numpy as np

from skipfill.compat.advice.candidate import Candidate
from skipfill.compat.advice.rows.row import MakeRow, Missing, Row, among_all_rows
from skipfill.compat.gate.admission.ruling import Mask
from skipfill.compat.metrics.registry import of_scores

COSTS = {10: 3, 50: 4, 200: 5, 500: 6}
"""Number of rows to re-rank for a query -> cost. The more there are, the more rows are encoded."""


def rerank_row(candidate: Candidate, choosing: Mask, *, k: int) -> Row | Missing:
    """The row of a re-ranking: a query is encoded once or twice, and the stored rows that queries touch are too."""
    name, context = f"{candidate.name}, re-ranking {k}", candidate.context
    rows = context.gallery.rows.count
    if of_scores(context.policy.metric):
        return Missing(f"{name}: not measured, because re-ranked rows have scores of two spaces")
    if k >= rows:
        return Missing(f"{name}: not measured, because the gallery has {rows:,} rows")
    stages = candidate.two_stages
    if not stages.new.known.any():
        return Missing(f"{name}: not measured, because no items of the gallery's rows were given")
    order = stages.order(k)
    values = candidate.ranker.values(order.ranks(candidate.ranks_of_candidates))[context.policy.metric]
    there = order.candidates.there
    return Row(
        name,
        "rerank",
        candidate,
        among_all_rows(candidate, COSTS[k], values),
        candidate.staying,
        rows,
        encodes_old=context.candidates == "old",
        encodes=len(np.unique(order.candidates.rows[there])),
        k=k,
        lacks_vectors=not order.known[there].all(),
    )


RERANKING: dict[str, MakeRow] = {f"rerank {k}": partial(rerank_row, k=k) for k in COSTS}
"""A row of the table for each number of rows to re-rank."""
