"""A full reindex with the candidate, measured on the stored rows whose items were given."""

from __future__ import annotations

from skipfill.compat.advice.candidate import Candidate
from skipfill.compat.advice.decision import Alternative
from skipfill.compat.advice.rows.row import Missing, Row
from skipfill.compat.gate.admission.ruling import Mask
from skipfill.compat.gate.ranks import Ranker
from skipfill.store.checks.names import OLD_OLD, RELEASED_OLD

COST = 7


def reindex_row(candidate: Candidate, choosing: Mask) -> Row | Missing:
    """The row of a reindex: a query is encoded once, and every stored row is encoded again.

    Queries with nothing to find among the rows that have an item do not count. Staying is measured among these rows.
    """
    name, context, rows = f"reindex with {candidate.name}", candidate.context, candidate.reencodable
    if rows.items is None:
        return Missing(f"{name}: not measured, because no items of the gallery's rows were given")
    if RELEASED_OLD in candidate.staying and len(rows) < context.gallery.rows.count:
        return Missing(f"{name}: not measured, because queries use a third model and some rows have no item here")
    metric, ranker = context.policy.metric, Ranker(context, candidate.queries)
    baselines = candidate.staying
    if len(rows) < context.gallery.rows.count:
        part = context.gallery.rows.restricted(rows.items.ids, len(rows))
        old = candidate.vectors.by_pair[OLD_OLD]
        ranked = ranker.ranks({OLD_OLD: old}, part, context.gallery.space.metric)
        baselines = {OLD_OLD: ranker.values(ranked[OLD_OLD])[metric]}
    values = ranker.reindexed(context.model, candidate.queries.vectors, rows)[metric]
    alternative = Alternative(COST, values, list(baselines.values())[-1])
    found = alternative.answered
    if not (found & choosing).any() or not (found & ~choosing).any():
        return Missing(f"{name}: not measured, because too few queries have a row to be found among the items given")
    return Row(name, "reindex", candidate, alternative, baselines, len(rows), reencodes=True)
