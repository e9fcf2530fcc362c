"""A metric needs room: where nearly every order of the rows scores as high as the baseline, none is evidence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skipfill.compat.evaluation.statistics.bootstrap import Values
from skipfill.compat.gate.admission.ruling import Finding, Ruling
from skipfill.compat.gate.context import CheckContext
from skipfill.compat.gate.query_lookup import QueryLookup
from skipfill.compat.metrics.ranking import Ranking
from skipfill.compat.metrics.registry import depth_of, named_metrics
from skipfill.store.errors import BadInput, Parameter

DRAWS = 4_000


def depth_within_rows(context: CheckContext) -> Ruling:
    """Refuse a metric of the first K rows where there are fewer rows.

    Raises:
        BadInput: K is above the number of rows.
    """
    depth, rows = depth_of(context.policy.metric), context.gallery.rows.count
    if depth is not None and depth > rows:
        raise BadInput(
            Parameter("metric", context.policy.metric),
            expected=f"at most the {rows:,} rows of gallery {context.gallery.name}",
            found=f"the first {_shortened(depth)}",
        )
    return Ruling()


def better_than_random(
    context: CheckContext, lookup: QueryLookup, grades: Sequence[NDArray[np.float32]], baseline: Values
) -> Ruling:
    """Find that a random order of the rows comes within the margin of the baseline, in the metric that decides.

    Args:
        grades: of the relevant rows of each of Q queries.
        baseline: (Q,) values of the old model in this metric.
    """
    name, margin = context.policy.metric, context.policy.margin
    others = context.gallery.rows.count - (lookup.present if context.inputs.queries_are_rows else 0)
    rows = np.broadcast_to(others, len(lookup.relevant))
    random = random_order(name, rows, grades)
    mean = float(baseline.mean())
    if mean - random > margin:
        return Ruling()
    claim = f"a baseline that is better than a random order of the rows by more than {margin:g} in {name}"
    found = f"the baseline has {mean:.3f}, a random order {random:.3f}"
    return Ruling(findings=[Finding("better than random", len(rows), claim, found)])


def random_order(name: str, rows: NDArray[np.int64], grades: Sequence[NDArray[np.float32]]) -> float:
    """The mean of a metric over queries, of a random order of the rows, simulated with a fixed seed.

    Args:
        rows: (Q,) how many can be returned.
        grades: of the relevant ones among them, an array of at least one for each query.
    """
    value_of = named_metrics([name])[name]
    random = np.random.default_rng(0)
    draws = -(-DRAWS // len(grades))
    chosen = np.arange(len(grades)) if draws > 1 else np.linspace(0, len(grades) - 1, DRAWS).astype(int)
    values = []
    for query in np.repeat(chosen, draws):
        count, relevant = int(rows[query]), grades[query]
        ranks = np.sort(random.choice(count, len(relevant), replace=False, shuffle=False)) + 1
        scores = (1 - ranks / (count + 1)).astype(np.float32)
        values.append(value_of(Ranking(ranks, random.permutation(relevant), scores, lambda far: 1 - far)))
    return float(np.mean(values))


def _shortened(number: int) -> str:
    return f"{number:,}" if number < 10**12 else "10^12 and more"
