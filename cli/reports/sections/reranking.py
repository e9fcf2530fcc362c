"""Re-ranking: what it took, the numbers of candidates that were tried, and the share of the gallery it touches."""

from __future__ import annotations

from math import log10, nan
from typing import TYPE_CHECKING

from skipfill.cli.reports.elements import badge, interval, number, table, text
from skipfill.cli.reports.svg import Scale, axis, curve, levels, line, picture

if TYPE_CHECKING:
    from skipfill.store.checks.report import Interval, Report
    from skipfill.store.checks.reranking import Reranked, TouchedRows, TriedK

HEIGHT = 170
FINDING = {"old": "the old model's query", "view": "the model's query in its view"}
ROWS_TRIED = "Rows: candidates of some query, each encoded once. Encoded: those that this check encoded."
SEQUENCE = "The largest number first, each at full confidence, until one does not pass. Each pass allows its swap."


def reranking(report: Report) -> str:
    measured = report.rerank
    if measured is None:
        return ""
    listed = "".join(f"<div><dt>{text(key)}</dt><dd>{text(one)}</dd></div>" for key, one in facts_of(measured).items())
    return f"<dl>{listed}</dl>{_tried(report, measured)}{_curve(measured)}"


def facts_of(measured: Reranked) -> dict[str, str]:
    """The measurements, a line each."""
    source = f"{measured.from_overlay:,} from version {measured.overlay} of the overlay" if measured.overlay else ""
    made = f"{measured.encoded:,} encoded{' and kept' if measured.kept else ''}" if measured.encoded else ""
    without = f"{measured.without_vector:,} without a new vector, which keep their places"
    rows = ", ".join(filter(None, [source, made, without if measured.without_vector else ""]))
    took = f"{measured.milliseconds:.2g} ms more per query, once its vectors are there"
    rate = f"; {measured.items_per_second:,.0f} items per second here" if measured.items_per_second else ""
    facts = {
        "candidates": f"{measured.way.k:,} rows per query, found by {FINDING[measured.way.candidates]}",
        "rows": f"{measured.touched:,} of {measured.gallery_rows:,} are candidates: {rows}",
        "items to encode": _items_to_encode(measured),
        "time": took + rate,
        "rows touched": "; ".join(_after(one, measured) for one in _shown(measured)),
    }
    if measured.places_without:
        facts["not re-ranked"] = f"{measured.places_without:.0%} of the candidates, for lack of a new vector"
    return facts


def _items_to_encode(measured: Reranked) -> str:
    cold = f"{measured.cold:.3g} per query from an empty overlay"
    if not measured.overlay:
        return f"{cold}, as it was before this check"
    rows = f"{measured.overlay_rows:,} {'vector' if measured.overlay_rows == 1 else 'vectors'}"
    return f"{cold}; {measured.warm:.3g} per query from version {measured.overlay} of the overlay, which has {rows}"


def change_of(one: TriedK) -> Interval:
    """The change with a number of candidates, and its bounds; those of older reports are not known."""
    from skipfill.store.checks.report import Interval

    return Interval(one.change, nan if one.low is None else one.low, nan if one.high is None else one.high)


def _shown(measured: Reranked) -> list[TouchedRows]:
    """A few points: some measured, the last of which is all queries, and the first that are predicted."""
    return [*measured.curve[len(measured.curve) // 2 :: 3], *measured.curve[-1:], *measured.predicted[:3]]


def _after(one: TouchedRows, measured: Reranked) -> str:
    share, low, high = (rows / measured.gallery_rows for rows in (one.rows, one.low, one.high))
    band = f" ({low:.0%} to {high:.0%})" if one in measured.predicted else ""
    return f"{share:.0%}{band} after {one.queries:,} queries"


def _tried(report: Report, measured: Reranked) -> str:
    if not measured.tried:
        return ""
    columns = ["Verdict", "#Candidates", f"#{report.policy['metric']}", "#Change", "#Rows", "#Encoded"]
    rows = [
        [
            badge(one.verdict),
            f'<span class="value">{one.k:,}</span>' if one.k == measured.recommended.k else f"{one.k:,}",
            number(one.value),
            interval(change_of(one), sign=True),
            f"{one.encoded:,}",
            f"{one.now:,}",
        ]
        for one in measured.tried
    ]
    said = "".join(f"<p class=dim>{text(one)}</p>" for one in (ROWS_TRIED, SEQUENCE))
    return table("Numbers of candidates, the largest first, until one does not pass", columns, rows) + said


def _curve(measured: Reranked) -> str:
    """Share of the gallery touched by the number of queries, on a logarithmic axis, with the band of the prediction.

    Nothing for a single point.
    """
    points = [*measured.curve, *measured.predicted]
    if len(points) < 2:
        return ""

    def places(some: list[TouchedRows], end: str) -> list[tuple[float, float]]:
        return [(log10(one.queries), getattr(one, end) / measured.gallery_rows) for one in some]

    here = log10(measured.curve[-1].queries)
    across = Scale.over(log10(one.queries) for one in points)
    up = Scale.over(share for end in ("low", "high") for _, share in places(points, end))
    shapes = [*levels(up, HEIGHT, percent=True), line(across.at(here), 0, across.at(here), HEIGHT, "axis")]
    if measured.predicted:
        for end in ("low", "high"):
            shapes += curve(across, up, places([measured.curve[-1], *measured.predicted], end), "old", HEIGHT)
    shapes += curve(across, up, places(points, "rows"), "new", HEIGHT)
    title = "Share of the gallery touched, by the number of queries"
    said = "; ".join(f"{one.queries:,} queries: {one.rows / measured.gallery_rows:.0%}" for one in points)
    named = [measured.curve[0], measured.curve[-1], *measured.predicted[1::3]]
    names = {log10(one.queries): f"{one.queries:,}" for one in named}
    legend = f"Measured up to the upright line at {measured.curve[-1].queries:,} queries, those of this check."
    later = " To the right of it: predicted, with its band (open marks)." if measured.predicted else ""
    return (
        f"<div class=plots><figure><figcaption>{title}</figcaption>{picture(title, HEIGHT, shapes, said)}"
        f"{axis(across, named=names)}</figure></div><p class=dim>{legend}{later}</p>"
    )
