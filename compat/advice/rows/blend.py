"""A blend of the candidate's query in its view and the old model's query, with the weight chosen on one half."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from skipfill.compat.advice.candidate import Candidate
from skipfill.compat.advice.rows.row import Missing, Row, among_all_rows
from skipfill.compat.evaluation.statistics.bootstrap import Values
from skipfill.compat.gate.admission.ruling import Mask
from skipfill.store.checks.names import NEW_OLD, OLD_OLD
from skipfill.store.parquet.vectors import Matrix, normalised

COST = 2
WEIGHTS = tuple(tenth / 10 for tenth in range(1, 10))


def blend_row(candidate: Candidate, choosing: Mask) -> Row | Missing:
    """Two encodings a query, no stored row encoded again."""
    name = f"{candidate.name} blended"
    if not candidate.old_serves:
        return Missing(f"{name}: not possible, because the old model is gone and no column has its vectors of queries")
    new, old = candidate.vectors.by_pair[NEW_OLD], candidate.vectors.by_pair[OLD_OLD]
    base = candidate.baseline.values[choosing].mean()

    def results(weight: float) -> Values:
        mixed = blended(new[choosing], old[choosing], weight)
        return candidate.ranked(mixed, f"{name}, weight {weight:g}", choosing)

    weight = best_weight(results, float(base))
    if weight == 0:
        return Missing(f"{name}: the best weight is 0, which is the old model alone")
    values = candidate.ranked(blended(new, old, weight), f"{name}, weight {weight:g}")
    alternative, rows = among_all_rows(candidate, COST, values), candidate.context.gallery.rows.count
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


def blended(new: Matrix, old: Matrix, weight: float) -> Matrix:
    """(N, d) n(w n(new) + (1 - w) n(old)), L2-normalised; the old vector where the two cancel out.

    Args:
        new, old: (N, d) in the same space.
        weight: w, in [0, 1].
    """
    unit_old = normalised(old)
    mixed = weight * normalised(new) + (1 - weight) * unit_old
    return normalised(np.where(mixed.any(axis=1, keepdims=True), mixed, unit_old))


def best_weight(results: Callable[[float], Values], old: float) -> float:
    """The weight of the new query with the best mean; of equal ones the smallest, 0 for none above the old model's.

    Args:
        results: weight -> (N,) results of a blend.
        old: mean of the old model's results.
    """
    best, weight = old, 0.0
    for one in WEIGHTS:
        if (mean := float(results(one).mean())) > best:
            best, weight = mean, one
    return weight
