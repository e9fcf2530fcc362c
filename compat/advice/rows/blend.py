"""A blend of the candidate's query in its view and the old model's query, with the weight chosen on one half."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from skipfill.compat.advice.candidate import Candidate
from skipfill.compat.advice.decision import within_one_error
from skipfill.compat.advice.rows.row import Missing, Row, among_all_rows
from skipfill.compat.evaluation.statistics.bootstrap import Values
from skipfill.compat.evaluation.statistics.tilted_bootstrap import Clusters
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
    base, clusters = candidate.baseline.values[choosing], candidate.grouping.clusters[choosing]

    def results(weight: float) -> Values:
        mixed = blended(new[choosing], old[choosing], weight)
        return candidate.ranked(mixed, f"{name}, weight {weight:g}", choosing)

    weight = best_weight(results, base, clusters)
    if weight == 0:
        return Missing(f"{name}: no weight is better than the old model alone, by one standard error")
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


def best_weight(results: Callable[[float], Values], old: Values, clusters: NDArray[np.int64]) -> float:
    """The weight of the new query with the best mean, the smallest of equal ones; 0 where the old model is as good.

    It is as good within one standard error of the difference.

    Args:
        results: weight -> (N,) results of a blend.
        old: (N,) results of the old model.
        clusters: (N,) queries of the same number stand or fall together.
    """
    found = {weight: results(weight) for weight in WEIGHTS}
    best = max(WEIGHTS, key=lambda weight: float(found[weight].mean()))
    return 0.0 if within_one_error(Clusters.of(found[best] - old, clusters)) else best
