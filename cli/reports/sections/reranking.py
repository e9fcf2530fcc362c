"""Re-ranking: what it took, the numbers of candidates that were tried, and the share of the gallery it touches."""

from __future__ import annotations

from math import log10
from typing import TYPE_CHECKING

from skipfill.cli.reports.elements import badge, number, table, text
from skipfill.cli.reports.reranking import facts_of
from skipfill.cli.reports.svg import Scale, axis, curve, levels, picture

if TYPE_CHECKING:
    from skipfill.store.checks.report import Report
    from skipfill.store.checks.reranking import Reranked

HEIGHT = 170


def reranking(report: Report) -> str:
    measured = report.rerank
    if measured is None:
        return ""
    listed = "".join(f"<div><dt>{text(key)}</dt><dd>{text(one)}</dd></div>" for key, one in facts_of(measured).items())
    return f"<dl>{listed}</dl>{_tried(report, measured)}{_curve(measured)}"


def _tried(report: Report, measured: Reranked) -> str:
    if not measured.tried:
        return ""
    columns = ["Verdict", "#Candidates", f"#{report.policy['metric']}", "#Change", "#Rows encoded"]
    rows = [
        [badge(one.verdict), f"{one.k:,}", number(one.value), number(one.change, sign=True), f"{one.encoded:,}"]
        for one in measured.tried
    ]
    return table("Numbers of candidates, the largest first, until one does not pass", columns, rows)


def _curve(measured: Reranked) -> str:
    """Share of the gallery touched by the number of queries, on a logarithmic axis, with the band of what is to come.

    Nothing for a single point.
    """
    points = [*measured.curve, *measured.predicted]
    if len(points) < 2:
        return ""

    def shares(end: str) -> list[tuple[float, float]]:
        return [(log10(one.queries), getattr(one, end) / measured.gallery_rows) for one in points]

    across = Scale.over(log10(one.queries) for one in points)
    up = Scale.over(share for end in ("low", "high") for _, share in shares(end))
    shapes = [*levels(up, HEIGHT)]
    for end, kind in (("low", "old"), ("high", "old"), ("rows", "new")):
        shapes += curve(across, up, shares(end), kind, HEIGHT)
    title = "Share of the gallery touched, by the number of queries"
    said = "; ".join(f"{one.queries:,} queries: {one.rows / measured.gallery_rows:.0%}" for one in points)
    names = {log10(one.queries): f"{one.queries:,}" for one in points[:: max(1, len(points) // 4)]}
    legend = "Filled marks: measured up to the queries of this check, then predicted. Open marks: its band."
    return (
        f"<div class=plots><figure><figcaption>{title}</figcaption>{picture(title, HEIGHT, shapes, said)}"
        f"{axis(across, named=names)}</figure></div><p class=dim>{legend}</p>"
    )
