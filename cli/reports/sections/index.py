"""What an approximate index on the stored rows does to the new queries: recall by effort, and local dimension."""

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
    found = report.index
    return _facts(found) + _curves(found) if found is not None else ""


def _facts(found: IndexRecall) -> str:
    dimensions = [f"{value:.1f}" if value is not None else "unknown" for value in map(found.dimension.get, _SIDES)]
    recall, effort = f"Recall@{found.k}", found.settings["ef_search"]
    needed = f"{found.effort_needed}" if found.effort_needed is not None else f"more than {found.most_effort}"
    rows = [
        [f"{recall} at efSearch {effort}", *(shown(found.recall[side]) for side in _SIDES)],
        [f"efSearch for a recall of {found.recall['old'].mean:.3f}", f"{effort}", needed],
        [f"Local dimension, {found.dimension_neighbours} neighbours, median", *dimensions],
    ]
    changes = [
        shown(found.change, sign=True),
        "",
        f"times {found.dimension_ratio.mean:.2f}" if found.dimension_ratio else "",
    ]
    columns = ["", "#Old queries", "#New queries", "#Change"]
    about = (
        f"HNSW, {found.rows:,} of {found.gallery_rows:,} rows, {found.queries:,} of {found.given_queries:,} queries: "
        + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in found.settings.items())
    )
    told = [[*row, change] for row, change in zip(rows, changes, strict=True)]
    return table("What an index does", columns, told) + f"<p class=dim>{text(about)}</p>"


def _curves(found: IndexRecall) -> str:
    """Recall of both query sets by efSearch, on a logarithmic axis; the effort in use marked."""
    if not found.efforts:
        return ""
    sides = {side: [(log2(one.ef_search), float(getattr(one, side))) for one in found.efforts] for side in _SIDES}
    across = Scale.over(x for x, _ in sides["old"])
    up = Scale.over(y for points in sides.values() for _, y in points)
    used = across.at(log2(found.settings["ef_search"]))
    curves = [shape for side in _SIDES for shape in curve(across, up, sides[side], side, HEIGHT)]
    said = "; ".join(f"efSearch {one.ef_search}: old {one.old:.3f}, new {one.new:.3f}" for one in found.efforts)
    shapes = [*levels(up, HEIGHT), line(used, 0, used, HEIGHT, "bar"), *curves]
    title = f"Recall@{found.k} by efSearch"
    names = {log2(one.ef_search): str(one.ef_search) for one in found.efforts}
    legend = "Open marks: old queries. Filled marks: new queries. The upright line is the effort in use."
    return (
        f"<div class=plots><figure><figcaption>{title}</figcaption>{picture(title, HEIGHT, shapes, said)}"
        f"{axis(across, named=names)}</figure></div><p class=dim>{legend}</p>"
    )


_SIDES = ("old", "new")
