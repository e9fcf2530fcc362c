"""Checks of several numbers of candidates: the report that decides, and the table of all numbers tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from skipfill.compat.evaluation.statistics.bootstrap import Values
from skipfill.compat.evaluation.statistics.standard_error import within_one_error
from skipfill.compat.evaluation.statistics.tilted_bootstrap import Clusters
from skipfill.store.checks.names import ALL, NEW_OLD
from skipfill.store.checks.report import Report
from skipfill.store.checks.reranking import TriedK

BEHIND = (
    "after the candidates, the old order stays: metrics of the whole ranking, such as mAP, see the new order only "
    "among the candidates"
)


def deciding(reports: Sequence[Report]) -> Report:
    """The report of the smallest number of candidates that passes; if none passes, that of the largest.

    Args:
        reports: the largest number first; all but perhaps the last pass.
    """
    return next((report for report in reversed(reports) if report.verdict == "pass"), reports[0])


def with_all_tried(reports: Sequence[Report], values: Sequence[Values], clusters: NDArray[np.int64]) -> list[Report]:
    """The reports, each with the table of all; a single report has no table.

    Args:
        values: for each report, (Q,) results in the metric that decides.
        clusters: (Q,) queries with the same number stand or fall together.
    """
    if len(reports) < 2:
        return list(reports)
    good = as_good_as_the_best(values, clusters)
    tried = [_tried(report, as_good=one) for report, one in zip(reports, good, strict=True)]
    return [
        report if report.rerank is None else replace(report, rerank=replace(report.rerank, tried=tried))
        for report in reports
    ]


def as_good_as_the_best(values: Sequence[Values], clusters: NDArray[np.int64]) -> list[bool]:
    """Whether each is as good as the best mean, within one standard error: the rule by which `advise` chooses.

    Args:
        values: (Q,) results of each.
        clusters: (Q,) queries with the same number stand or fall together.
    """
    best = max(values, key=lambda one: float(one.mean()))
    return [within_one_error(Clusters.of(best - one, clusters)) for one in values]


def _tried(report: Report, *, as_good: bool) -> TriedK:
    assert report.rerank is not None
    every, metric = next(one for one in report.slices if one.name == ALL), report.policy["metric"]
    value = next(cell.value.mean for cell in every.cells if (cell.pair, cell.metric) == (NEW_OLD, metric))
    change, measured = every.change[metric], report.rerank
    return TriedK(
        k=measured.way.k,
        verdict=report.verdict,
        value=value,
        change=change.mean,
        encoded=measured.touched,
        low=change.low,
        high=change.high,
        now=measured.encoded,
        as_good=as_good,
    )
