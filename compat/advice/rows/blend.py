"""A blend of the candidate's query in its view and the old model's query, with the weight chosen on one half."""

from __future__ import annotations

import torch

from skipfill.compat.advice.candidate import Candidate
from skipfill.compat.advice.rows.row import Missing, Row, among_all_rows
from skipfill.compat.evaluation.statistics.bootstrap import Values
from skipfill.compat.gate.admission.ruling import Mask
from skipfill.compat.inference.network import Blend
from skipfill.compat.training.blending.weight import GRID, best_weight
from skipfill.store.checks.names import NEW_OLD, OLD_OLD
from skipfill.store.parquet.vectors import Matrix

COST = 2


def blend_row(candidate: Candidate, choosing: Mask) -> Row | Missing:
    """Two encodings a query, no stored row encoded again."""
    name = f"{candidate.name} blended"
    if candidate.context.model.network.blend is not None:
        return Missing(f"{name}: it is a blend already")
    if not candidate.old_serves:
        return Missing(f"{name}: not possible, because the old model is gone and no column has its vectors of queries")
    stay = candidate.baseline.values[choosing]
    results = {weight: _ranked(candidate, weight, choosing) for weight in GRID if weight > 0}
    weight = best_weight({0.0: stay, **results})
    if weight == 0:
        return Missing(f"{name}: no weight is better than the old model alone by one standard error")
    if weight == 1:
        return Missing(f"{name}: the best weight is 1, which is {candidate.name} alone")
    alternative = among_all_rows(candidate, COST, _ranked(candidate, weight))
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


def _ranked(candidate: Candidate, weight: float, asked: Mask | None = None) -> Values:
    """(Q,) results of the blend of this weight, of some queries or of all."""
    space, by_pair = candidate.context.gallery.space, candidate.vectors.by_pair
    new, old = (by_pair[pair] if asked is None else by_pair[pair][asked] for pair in (NEW_OLD, OLD_OLD))
    blend = Blend(space.name, space.dim, weight)
    mixed: Matrix = blend.mixed(torch.from_numpy(new), torch.from_numpy(old), None).numpy()
    return candidate.ranked(mixed, f"{candidate.name} blended, weight {weight:g}", asked)
