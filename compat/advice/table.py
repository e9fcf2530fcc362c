"""The table of the advice as values: staying and each alternative, on the queries that chose nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skipfill.compat.advice.rows.row import Row
from skipfill.compat.evaluation.statistics.bootstrap import Values, interval, resampled_means
from skipfill.compat.evaluation.statistics.tilted_bootstrap import Clusters, lower_bound, upper_bound
from skipfill.compat.gate.admission.ruling import Mask
from skipfill.store.checks.policy import Policy
from skipfill.store.checks.report import Interval
from skipfill.store.checks.requirement import Verdict


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        name: name of the row, as people read it.
        kind: `stay`, or the kind of the row.
        model: the candidate; for `stay`, the model that queries use now.
        weight: weight of the new query in a blend; None for other kinds.
        quality: mean of the metric that decides, with its interval.
        change: change of the mean from staying, among the same rows. With the policy's confidence it is above `low`,
            and with the same confidence below `high`. None for staying.
        flips: share of queries that get a lower value than by staying; None for staying.
        queries: number of queries that it was measured with.
        measured_on: number of stored rows that it was measured on.
        queries_per_second: queries that its models encode in a second here; None if no model here encodes them.
        rows: number of stored rows that are encoded again; for a re-ranking, those that these queries need.
        seconds: time to encode these rows; None if no rate is known.
        money: price of that time; None without a price or a rate.
        verdict: the policy's verdict on this row alone; None for staying.
        k: number of stored rows that are re-ranked for a query; None for other kinds.
    """

    name: str
    kind: str
    model: str
    weight: float | None
    quality: Interval
    change: Interval | None
    flips: float | None
    queries: int
    measured_on: int
    queries_per_second: float | None
    rows: int
    seconds: float | None
    money: float | None
    verdict: Verdict | None
    k: int | None = None


@dataclass(frozen=True)
class Rates:
    """Items that models encode in a second, as far as this is known.

    Attributes:
        queries: model -> queries in a second.
        rows: model -> gallery rows in a second.
        price_per_hour: price of the machine that encodes; None if unknown.
    """

    queries: Mapping[str, float]
    rows: Mapping[str, float]
    price_per_hour: float | None = None


def line_of_staying(name: str, values: Values, clusters: NDArray[np.int64], asked: Mask, policy: Policy) -> Line:
    """The line of staying with model `name`."""
    quality = _mean(values[asked], clusters[asked], policy)
    return Line(f"stay with {name}", "stay", name, None, quality, None, None, int(asked.sum()), 0, None, 0, 0, 0, None)


def line_of(
    row: Row, old: str, gallery_rows: int, clusters: NDArray[np.int64], asked: Mask, rates: Rates, verdict: Verdict
) -> Line:
    """The line of a row.

    Args:
        old: name of the old model.
        gallery_rows: number of all rows of the gallery.
        asked: (Q,) bool, the queries that chose nothing.
    """
    policy, model = row.candidate.context.policy, row.candidate.name
    found = asked & row.alternative.answered
    change = row.alternative.change[found]
    tested = Clusters.of(change, clusters[found])
    low, high = (bound(tested, policy.error) for bound in (lower_bound, upper_bound))
    encoded = gallery_rows if row.reencodes else row.encodes
    seconds = 0.0 if not encoded else encoded / rates.rows[model] if model in rates.rows else None
    price = rates.price_per_hour
    return Line(
        name=row.name,
        kind=row.kind,
        model=model,
        weight=row.weight,
        quality=_mean(row.alternative.values[found], clusters[found], policy),
        change=Interval(tested.mean, low, high),
        flips=float((change < 0).mean()),
        queries=int(found.sum()),
        measured_on=row.measured_on,
        queries_per_second=together(rates.queries, [model, old] if row.encodes_old else [model]),
        rows=encoded,
        seconds=seconds,
        money=None if price is None or seconds is None else seconds / 3600 * price,
        verdict=verdict,
        k=row.k,
    )


def together(rates: Mapping[str, float], models: list[str]) -> float | None:
    """Queries in a second of models that encode each query one after the other; None where a rate is unknown."""
    if any(model not in rates for model in models):
        return None
    return 1 / sum(1 / rates[model] for model in models)


def _mean(values: Values, clusters: NDArray[np.int64], policy: Policy) -> Interval:
    drawn = resampled_means(values[:, None], policy.resamples, policy.seed, clusters)[:, 0]
    return interval(float(values.mean()), drawn, policy.confidence)
