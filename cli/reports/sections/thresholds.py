"""Thresholds on old scores, and the matching ones on new scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skipfill.cli.reports.elements import table, text

if TYPE_CHECKING:
    from skipfill.store.checks.report import Report, Threshold


def thresholds(report: Report) -> str:
    if not report.thresholds:
        return ""
    columns = [
        "What stays the same",
        "#Old threshold",
        "#New threshold",
        "#Share accepted",
        "#On other queries",
        "#TAR",
    ]
    warned = "".join(f"<li>{text(one)}</li>" for found in report.thresholds for one in found.warnings)
    return table("Thresholds", columns, [_row(one) for one in report.thresholds]) + (
        f"<ul>{warned}</ul>" if warned else ""
    )


def _row(threshold: Threshold) -> list[str]:
    kept = {"far": "false accept rate", "match-rate": "match rate"}[threshold.rule]
    ends = f'<span class="dim ends">{threshold.new.low:.4f} to {threshold.new.high:.4f}</span>'
    rates = f"{threshold.new_rate.low:.2g} to {threshold.new_rate.high:.2g}"
    tar = f"{threshold.tar['old']:.3f} before, {threshold.tar['new']:.3f} after" if threshold.tar else ""
    new = f'<span class="value">{threshold.new.mean:.4f}</span> {ends}'
    return [kept, f"{threshold.old:g}", new, f"{threshold.old_rate:.3g}", rates, tar]
