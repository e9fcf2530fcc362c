"""Every slice: its results before and after, and, folded, its cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skipfill.cli.reports.elements import badge, name, table, text
from skipfill.cli.reports.elements import interval as shown
from skipfill.cli.reports.findings import outcome_of, same_as_all
from skipfill.cli.reports.sections.cells import MARKS, cells_of
from skipfill.cli.reports.svg import ROW, Scale, axis, interval, picture

if TYPE_CHECKING:
    from skipfill.store.checks.report import Interval, Report, Slice


def slices(report: Report) -> str:
    metric = report.policy.get("metric", "CMC@1")
    found = {one.name: _deciding(one, metric) for one in report.slices}
    ends = [end for values in found.values() for value in values.values() for end in (value.low, value.high)]
    scale = Scale.over(ends)
    rows = []
    for one in report.slices:
        if same_as_all(one, report):
            rows.append([_badge(one, report), name(one.name), "the same queries as all", *[""] * 4])
            continue
        change = shown(one.change[metric], sign=True) if metric in one.change else ""
        values = [shown(found[one.name][pair]) if pair in found[one.name] else "" for pair in MARKS]
        rows.append(
            [
                _badge(one, report),
                name(one.name),
                _count(one),
                _plot(one, found[one.name], scale),
                *values,
                change,
            ]
        )
    columns = [
        "Verdict",
        "Slice",
        "Queries",
        "~Old (above) and new (below)",
        *(f"#{pair}" for pair in MARKS),
        "#Change",
    ]
    foot = ["", "", "", axis(scale), "", "", ""] if ends else []
    folded = "".join(
        f"<details><summary>{_badge(one, report)} {name(one.name)}: all cells</summary>"
        f"{cells_of(one, report)}</details>"
        for one in report.slices[1:]
        if one.cells and not same_as_all(one, report)
    )
    return table(f"Slices, {text(metric)}", columns, rows, foot) + folded


def _deciding(one: Slice, metric: str) -> dict[str, Interval]:
    return {cell.pair: cell.value for cell in one.cells if cell.metric == metric and cell.pair in MARKS}


def _badge(one: Slice, report: Report) -> str:
    return badge(outcome_of(one, report))


def _count(one: Slice) -> str:
    clusters = "" if one.units == one.queries else f' <span class="dim">in {one.units:,} clusters</span>'
    return f"{one.queries:,}\u00a0queries{clusters}"


def _plot(one: Slice, found: dict[str, Interval], scale: Scale) -> str:
    if not found:
        return ""
    shapes = []
    for place, (pair, value) in enumerate(found.items()):
        shapes += interval(scale, value.low, value.mean, value.high, MARKS[pair], ROW * (1 + 2 * place) / 4)
    said = ", ".join(f"{pair} {value.mean:.3f} ({value.low:.3f} to {value.high:.3f})" for pair, value in found.items())
    return picture(f"{one.name}: {said}", ROW, shapes)
