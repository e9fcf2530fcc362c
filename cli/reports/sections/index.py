"""Effect of an approximate index on the new queries: recall by effort, and local dimension."""

from __future__ import annotations

from math import log2
from typing import TYPE_CHECKING

from skipfill.cli.reports.elements import interval as shown
from skipfill.cli.reports.elements import table, text
from skipfill.cli.reports.svg import Scale, axis, curve, levels, line, picture

if TYPE_CHECKING:
    from skipfill.store.checks.report import IndexRecall, Report

HEIGHT = 170


def index(report: Report) -> str:
    measured = report.index
    return _facts(measured) + _curves(measured) if measured is not None else ""


def _facts(measured: IndexRecall) -> str:
    dimensions = [f"{value:.1f}" if value is not None else "unknown" for value in map(measured.dimension.get, _SIDES)]
    recall, effort = f"Recall@{measured.k}", measured.settings["ef_search"]
    needed = f"{measured.effort_needed}" if measured.effort_needed is not None else f"more than {measured.most_effort}"
    rows = [
        [f"{recall} at efSearch {effort}", *(shown(measured.recall[side]) for side in _SIDES)],
        [f"efSearch for a recall of {measured.recall['old'].mean:.3f}", f"{effort}", needed],
        [f"Local dimension, {measured.dimension_neighbours} neighbours, median", *dimensions],
    ]
    changes = [
        shown(measured.change, sign=True),
        "",
        f"times {measured.dimension_ratio.mean:.2f}" if measured.dimension_ratio else "",
    ]
    columns = ["", "#Old queries", "#New queries", "#Change"]
    about = (
        f"HNSW, {measured.rows:,} of {measured.gallery_rows:,} rows, "
        f"{measured.queries:,} of {measured.given_queries:,} queries: "
        + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in measured.settings.items())
    )
    told = [[*row, change] for row, change in zip(rows, changes, strict=True)]
    return table("Approximate index", columns, told) + f"<p class=dim>{text(about)}</p>"


def _curves(measured: IndexRecall) -> str:
    """Recall of both query sets by efSearch, on a logarithmic axis; the efSearch in use is marked."""
    if not measured.efforts:
        return ""
    sides = {side: [(log2(one.ef_search), float(getattr(one, side))) for one in measured.efforts] for side in _SIDES}
    across = Scale.over(x for x, _ in sides["old"])
    up = Scale.over(y for points in sides.values() for _, y in points)
    used = across.at(log2(measured.settings["ef_search"]))
    curves = [shape for side in _SIDES for shape in curve(across, up, sides[side], side, HEIGHT)]
    said = "; ".join(f"efSearch {one.ef_search}: old {one.old:.3f}, new {one.new:.3f}" for one in measured.efforts)
    shapes = [*levels(up, HEIGHT), line(used, 0, used, HEIGHT, "bar"), *curves]
    title = f"Recall@{measured.k} by efSearch"
    names = {log2(one.ef_search): str(one.ef_search) for one in measured.efforts}
    legend = "Open marks: old queries. Filled marks: new queries. The vertical line is the efSearch in use."
    return (
        f"<div class=plots><figure><figcaption>{title}</figcaption>{picture(title, HEIGHT, shapes, said)}"
        f"{axis(across, named=names)}</figure></div><p class=dim>{legend}</p>"
    )


_SIDES = ("old", "new")
