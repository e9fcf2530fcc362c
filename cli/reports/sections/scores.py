"""Histograms of scores before and after: of relevant rows above the line, of all others below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skipfill.cli.reports.elements import text
from skipfill.cli.reports.svg import Scale, axis, mirrored, picture

if TYPE_CHECKING:
    from skipfill.store.checks.report import Report
    from skipfill.store.checks.scores import ScoreDistribution

HEIGHT = 120
LEGEND = (
    '<span class="swatch relevant"></span> above the line: pairs of a query and a row relevant to it; '
    '<span class="swatch rest"></span> below it: all other pairs. Each is scaled to the height of the plot. A '
    "threshold chosen for the old scores holds for the new ones only where the two distributions agree."
)


def scores(report: Report) -> str:
    if not report.scores:
        return ""
    used = [edge for one in report.scores for edge in _used(one)]
    scale = Scale.over(used)
    plots = "".join(
        f"<figure><figcaption>{text(one.pair)}</figcaption>{_plot(one, scale)}</figure>" for one in report.scores
    )
    return f"<div class=plots>{plots}<figure>{axis(scale)}</figure></div><p class=dim>{LEGEND}</p>"


def _used(one: ScoreDistribution) -> list[float]:
    """Both bounds of every bin with something in it."""
    shares = zip(one.edges[:-1], one.edges[1:], one.relevant, one.others, strict=True)
    return [edge for low, high, relevant, others in shares if relevant or others for edge in (low, high)]


def _plot(one: ScoreDistribution, scale: Scale) -> str:
    middle = {kind: _median(one.edges, share) for kind, share in (("relevant", one.relevant), ("others", one.others))}
    said = ", ".join(f"half of {kind} above {value:.2f}" for kind, value in middle.items() if value is not None)
    shapes = mirrored(scale, one.edges, one.relevant, one.others, HEIGHT)
    return picture(f"Scores of {one.pair}: {said}", HEIGHT, shapes)


def _median(edges: list[float], shares: list[float]) -> float | None:
    """The bound of a bin that is nearest to the middle of the distribution."""
    total = 0.0
    for edge, share in zip(edges[1:], shares, strict=True):
        total += share
        if total >= 0.5:
            return edge
    return None
