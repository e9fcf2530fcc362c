"""Sections of the HTML report in their order, by heading: functions from a report to HTML, which may be empty.

To add one: its file here, and its line below.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from skipfill.cli.reports.sections.cells import cells
from skipfill.cli.reports.sections.flips import flips
from skipfill.cli.reports.sections.index import index
from skipfill.cli.reports.sections.measured import measured
from skipfill.cli.reports.sections.notes import notes
from skipfill.cli.reports.sections.requirements import requirements
from skipfill.cli.reports.sections.reranking import reranking
from skipfill.cli.reports.sections.scores import scores
from skipfill.cli.reports.sections.slices import slices
from skipfill.cli.reports.sections.thresholds import thresholds

if TYPE_CHECKING:
    from skipfill.store.checks.report import Report


SECTIONS: dict[str, Callable[[Report], str]] = {
    "Requirements": requirements,
    "Notes": notes,
    "Query model and gallery: all queries": cells,
    "Slices": slices,
    "Re-ranking": reranking,
    "Flips": flips,
    "Scores": scores,
    "Thresholds": thresholds,
    "Approximate index": index,
    "Measurement": measured,
}
