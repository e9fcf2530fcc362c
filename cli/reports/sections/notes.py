"""What the check warned of, and its reasons in its own words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skipfill.cli.reports.elements import text

if TYPE_CHECKING:
    from skipfill.store.checks import Report


def notes(report: Report) -> str:
    warned = "".join(f"<li class=warned>{text(one)}</li>" for one in report.warnings)
    reasons = "".join(f"<li>{text(one)}</li>" for one in report.why)
    return f"<ul>{warned}{reasons}</ul>" if warned or reasons else ""
