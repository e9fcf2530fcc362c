"""Requirements of each slice, the worst first, each with its interval and its limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skipfill.cli.reports.elements import badge, name, table, text
from skipfill.cli.reports.findings import Finding, findings, numbers, worst_first
from skipfill.cli.reports.svg import ROW, Scale, axis, box, interval, line, picture

if TYPE_CHECKING:
    from skipfill.store.checks.report import Report
    from skipfill.store.checks.requirement import Requirement

LEGEND = (
    "Difference new \u2212 old; for a flip budget, the share of flips, drawn below zero. The line is its interval: the "
    "difference is above the left end and below the right end, each with {confidence} confidence. A requirement "
    "passes if the whole line is in the shaded part. The more requirements there are, the more evidence a fail needs "
    "(Holm 1979)."
)


def requirements(report: Report) -> str:
    found = worst_first(findings(report))
    asked = [each.asked for each in found if each.asked is not None]
    scale = Scale.over(value for one in asked for value in (one.bar, one.low, one.high, one.found, 0.0))
    rows = [_row(each, scale) for each in found]
    columns = ["Verdict", "Slice and claim", "~Difference, and where it must be", "#Found", "#Limit", "#More queries"]
    foot = ["", "", axis(scale, sign=True), "", "", ""] if asked else []
    confidence = f"{report.policy.get('confidence', 0.95):.0%}"
    return table("Requirements", columns, rows, foot) + f"<p class=dim>{LEGEND.format(confidence=confidence)}</p>"


def _row(found: Finding, scale: Scale) -> list[str]:
    asked = found.asked
    if asked is None:
        return [badge(found.outcome), _claim(found, f"{found.claim}: {found.text}"), "", "", "", ""]
    measured, low, high, bar = (one.replace("-", "\u2212") for one in numbers(asked))
    value = f'<span class="value">{measured}</span> <span class="dim ends">{low} to {high}</span>'
    more = f"about {asked.more_queries:,}" if asked.more_queries else ""
    return [
        badge(found.outcome),
        _claim(found, found.claim),
        _plot(found, asked, scale),
        value,
        bar,
        more,
    ]


def _claim(found: Finding, claim: str) -> str:
    return f'{name(found.slice)}<span class="claim">{text(claim)}</span>'


def _plot(found: Finding, asked: Requirement, scale: Scale) -> str:
    bar = scale.at(asked.bar)
    shapes = [
        box(bar, 0, 100 - bar, ROW, "allowed"),
        line(scale.at(0.0), 0, scale.at(0.0), ROW, "zero"),
        line(bar, 0, bar, ROW, "bar"),
        *interval(scale, asked.low, asked.found, asked.high, found.outcome, ROW / 2),
    ]
    return picture(f"{found.slice}: {found.claim}: {found.outcome}", ROW, shapes, found.text)
