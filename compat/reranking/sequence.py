"""Checks of several numbers of candidates: the report that decides, and the table of all numbers tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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


def with_all_tried(reports: Sequence[Report]) -> list[Report]:
    """The reports, each with the table of all; a single report has no table."""
    if len(reports) < 2:
        return list(reports)
    tried = [_tried(report) for report in reports]
    return [
        report if report.rerank is None else replace(report, rerank=replace(report.rerank, tried=tried))
        for report in reports
    ]


def _tried(report: Report) -> TriedK:
    assert report.rerank is not None
    every, metric = next(one for one in report.slices if one.name == ALL), report.policy["metric"]
    value = next(cell.value.mean for cell in every.cells if (cell.pair, cell.metric) == (NEW_OLD, metric))
    change = every.change[metric].mean
    return TriedK(report.rerank.way.k, report.verdict, value, change, report.rerank.touched)
