"""Warnings of the check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skipfill.cli.reports.elements import text
from skipfill.cli.reports.findings import notes as said

if TYPE_CHECKING:
    from skipfill.store.checks.report import Report


def notes(report: Report) -> str:
    warned = "".join(f"<li>{text(one)}</li>" for one in said(report))
    return f"<ul>{warned}</ul>" if warned else ""
