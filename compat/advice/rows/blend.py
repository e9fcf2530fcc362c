"""A blend of the candidate's query in its view and the old model's query, with the weight chosen on one half."""

from __future__ import annotations

from skipfill.compat.advice.candidate import Candidate
from skipfill.compat.advice.rows.row import Missing, Row, among_all_rows
from skipfill.compat.evaluation.statistics.bootstrap import Values
from skipfill.compat.gate.admission.ruling import Mask
from skipfill.compat.training.blending.weight import GRID, best_weight, mixed_queries

COST = 2


def blend_row(candidate: Candidate, choosing: Mask) -> Row | Missing:
    """The row of a blend: a query is encoded twice, and no stored row is encoded again."""
    name = f"{candidate.name} blended"
    if candidate.context.model.network.blend is not None:
        return Missing(f"{name}: it is a blend already")
    if not candidate.old_serves:
        return Missing(f"{name}: not possible, because the old model is gone and no column holds old query vectors")
    results = _by_weight(candidate)
    clusters = candidate.grouping.clusters[choosing]
    weight = best_weight({one: values[choosing] for one, values in results.items()}, clusters)
    if weight == 0:
        return Missing(f"{name}: no weight is better than the old model alone by one standard error")
    if weight == 1:
        return Missing(f"{name}: the best weight is 1, which is {candidate.name} alone")
    alternative = among_all_rows(candidate, COST, results[weight])
    rows = candidate.context.gallery.rows.count
    return Row(
        f"{name}, {weight:g}",
        "blend",
        candidate,
        alternative,
        candidate.staying,
        rows,
        encodes_old=True,
        weight=weight,
    )


def _by_weight(candidate: Candidate) -> dict[float, Values]:
    """Weight -> (Q,) results of the blend of this weight; 0 is the old model alone."""
    space, by_pair = candidate.context.gallery.space, candidate.vectors.by_pair
    weights = [weight for weight in GRID if weight > 0]
    sets = {f"weight {weight:g}": mixed_queries(space, by_pair, weight) for weight in weights}
    return {0.0: candidate.baseline.values, **dict(zip(weights, candidate.ranked(sets).values(), strict=True))}
