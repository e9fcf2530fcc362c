"""The cells, query model / gallery space: each metric with its interval, and the deciding one as a plot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skipfill.cli.reports.elements import interval as shown
from skipfill.cli.reports.elements import name, table, text
from skipfill.cli.reports.svg import ROW, Scale, axis, interval, picture
from skipfill.store.checks.names import CEILING, NEW_NEW, NEW_OLD, OLD_OLD

if TYPE_CHECKING:
    from skipfill.store.checks.report import Report, Slice

MARKS = {OLD_OLD: "old", NEW_OLD: "new"}
"""Marks in plots, by pair."""


def cells(report: Report) -> str:
    """The cells of all queries, and a legend."""
    if not report.slices or not report.slices[0].cells:
        return ""
    again = f"{report.reencoded_rows:,} of {report.gallery_rows:,} rows" if report.reencoded_rows else "none here"
    confidence = f"{report.policy.get('confidence', 0.95):.0%}"
    legend = (
        f"Query model / gallery: <b>{OLD_OLD}</b> is now. <b>{NEW_OLD}</b> is after the swap, with no vector "
        f"rewritten. <b>{NEW_NEW}</b> would be after a full reindex (rows encoded again: {again}). Update gain: 0 is "
        f"now, 1 is the ceiling. Means and gains lie between their bounds with {confidence} confidence. A change is "
        f"above its first bound and below its second, each with {confidence} confidence."
    )
    return cells_of(report.slices[0], report) + f"<p class=dim>{legend}</p>"


def cells_of(one: Slice, report: Report) -> str:
    """A table with a row for each pair, and those of change and gain."""
    deciding = report.policy.get("metric", "CMC@1")
    metrics = list(dict.fromkeys([deciding, *one.change]))
    values = {(cell.pair, cell.metric): cell.value for cell in one.cells}
    drawn = [value for (_, metric), value in values.items() if metric == deciding]
    scale = Scale.over(end for value in drawn for end in (value.low, value.mean, value.high))
    rows = []
    for pair in dict.fromkeys(cell.pair for cell in one.cells):
        value = values.get((pair, deciding))
        plot = ""
        if value is not None:
            kind = MARKS.get(pair, "other")
            title = f"{deciding} of {pair}: {value.mean:.3f}, {value.low:.3f} to {value.high:.3f}"
            plot = picture(title, ROW, interval(scale, value.low, value.mean, value.high, kind, ROW / 2))
        found = [shown(values[pair, metric]) if (pair, metric) in values else "" for metric in metrics]
        rows.append([_pair(pair, report), plot, *found])
    changes = [shown(one.change[metric], sign=True) if metric in one.change else "" for metric in metrics]
    gains = [shown(one.gain[metric], sign=True) if metric in one.gain else "" for metric in metrics]
    rows.append(["<b>change</b>", "", *changes])
    if any(one.gain.values()) or any(cell.pair in (NEW_NEW, CEILING) for cell in one.cells):
        rows.append(["<b>update gain</b>", "", *gains])
    columns = ["Query/gallery", f"~{text(deciding)}", *(f"#{text(metric)}" for metric in metrics)]
    foot = ["", axis(scale), *[""] * len(metrics)]
    return table(f"Cells of {name(one.name)}", columns, rows, foot)


def _pair(pair: str, report: Report) -> str:
    return f"<b>ceiling</b> {name(report.ceiling)}" if pair == CEILING else f"<b>{text(pair)}</b>"
