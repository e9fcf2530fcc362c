"""Room of a metric: where nearly any order of the rows scores as high as the baseline, a check proves nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skipfill.compat.evaluation.statistics.bootstrap import Values
from skipfill.compat.gate.admission.ruling import Finding, Mask, Ruling
from skipfill.compat.gate.context import CheckContext
from skipfill.compat.gate.query_lookup import QueryLookup
from skipfill.compat.metrics.ranking import Ranking
from skipfill.compat.metrics.registry import depth_of, named_metrics
from skipfill.store.checks.names import ALL, OLD_OLD
from skipfill.store.checks.report import Slice
from skipfill.store.errors import BadInput, Parameter

DRAWS = 4_000
"""Random orders that are simulated for all queries together."""
DRAWN, FEWEST = 20_000_000, 200
"""Most relevant rows that are drawn in all, and fewest orders. With many relevant rows, orders differ little."""


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


@dataclass(frozen=True)
class Baseline:
    """The old model's results for Q queries, in the metric that decides.

    Attributes:
        values: (Q,) of this metric.
        grades: of each query, (R,) those of its relevant rows.
    """

    lookup: QueryLookup
    values: Values
    grades: Sequence[NDArray[np.float32]]


def better_than_random(context: CheckContext, baseline: Baseline) -> Ruling:
    """Find that a random order of the rows comes within the margin of the baseline."""
    return Ruling(findings=_without_room(context, baseline, ALL, np.ones(len(baseline.values), bool)))


def slices_better_than_random(
    context: CheckContext, baseline: Baseline, masks: Mapping[str, Mask], slices: Sequence[Slice]
) -> Ruling:
    """Find the same for a slice that must not be worse by the margin, unless the new model is significantly better.

    Without room, a model that finds nothing there passes too. The rows are those of the whole gallery for each slice.

    Args:
        masks: slice -> (Q,) bool, its queries.
        slices: judged.
    """
    findings = []
    for one in slices:
        compared = [each for each in one.requirements if each.kind == "not-worse" and each.base == OLD_OLD]
        if one.name != ALL and any(each.verdict == "pass" and each.low <= 0 for each in compared):
            findings += _without_room(context, baseline, one.name, masks[one.name])
    return Ruling(findings=findings)


def _without_room(context: CheckContext, baseline: Baseline, slice: str, chosen: Mask) -> list[Finding]:
    name, margin = context.policy.metric, context.policy.margin
    others = context.gallery.rows.count - (baseline.lookup.present if context.inputs.queries_are_rows else 0)
    rows = np.broadcast_to(others, len(chosen))[chosen]
    random = random_order(name, rows, [baseline.grades[place] for place in np.flatnonzero(chosen).tolist()])
    mean = float(baseline.values[chosen].mean())
    if mean - random > margin:
        return []
    claim = f"a baseline that is better than a random order of the rows by more than {margin:g} in {name}"
    found = f"the baseline has {mean:.3f}, a random order {random:.3f}"
    return [Finding("better than random", len(rows), claim, found, slice)]


def random_order(name: str, rows: NDArray[np.int64], grades: Sequence[NDArray[np.float32]]) -> float:
    """The mean of a metric over queries, for a random order of the rows, simulated with a fixed seed.

    Args:
        name: of the metric.
        rows: (Q,) how many rows can be returned for each query.
        grades: of each query, (R,) those of the relevant ones among these rows, at least one.
    """
    value_of = named_metrics([name])[name]
    random = np.random.default_rng(0)
    relevant_rows = sum(map(len, grades))
    orders = min(DRAWS, max(FEWEST, DRAWN * len(grades) // max(relevant_rows, 1)))
    draws = -(-orders // len(grades))
    chosen = np.arange(len(grades)) if draws > 1 else np.linspace(0, len(grades) - 1, orders).astype(int)
    values = []
    for query in np.repeat(chosen, draws):
        count, relevant = int(rows[query]), grades[query]
        ranks = np.sort(random.choice(count, len(relevant), replace=False, shuffle=False)) + 1
        scores = (1 - ranks / (count + 1)).astype(np.float32)
        values.append(value_of(Ranking(ranks, random.permutation(relevant), scores, lambda far: 1 - far)))
    return float(np.mean(values))


def _shortened(number: int) -> str:
    return f"{number:,}" if number < 10**12 else "10^12 and more"
