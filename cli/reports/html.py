"""A report as one self-contained HTML file: no scripts, fonts or links. Of the rows it shows only ids."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from skipfill.cli.reports.elements import code, name, text
from skipfill.cli.reports.findings import check_name, headline, way_of
from skipfill.cli.reports.next_steps import next_command
from skipfill.cli.reports.outlook import NO_OUTLOOK, Outlook
from skipfill.cli.reports.sections.registry import SECTIONS
from skipfill.cli.reports.svg import MARKS

if TYPE_CHECKING:
    from skipfill.store.checks.report import Report

TICK = '<path d="M-6 0-2 5 6-5"/>'
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def html(report: Report, outlook: Outlook = NO_OUTLOOK) -> str:
    """The page: the verdict, then each section that has something to show.

    Args:
        outlook: what the check means for a swap now.
    """
    shown = {heading: section(report) for heading, section in SECTIONS.items()}
    body = "".join(f"<section><h2>{heading}</h2>{inside}</section>\n" for heading, inside in shown.items() if inside)
    return _page(
        f"{report.verdict.upper()}: {way_of(report)} on {report.gallery}",
        f"{_banner(report, outlook)}\n{body}",
    )


def failure_html(error: str) -> str:
    """The page for a check that could not be made; it replaces the page of an earlier check."""
    icon = f'<svg class="mark fail" viewBox="-8 -8 16 16" aria-hidden="true">{MARKS["fail"]}</svg>'
    banner = (
        f'<header class="fail">{icon}<div><h1><strong>ERROR</strong> no check was made</h1><p>{text(error)}</p></div>'
        "</header>"
    )
    return _page("ERROR: no check was made", banner)


def _page(title: str, body: str) -> str:
    style = files("skipfill.cli.reports").joinpath("page.css").read_text(encoding="utf-8")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{text(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n<style>\n{style}</style>\n</head>\n'
        f"<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )


def _banner(report: Report, outlook: Outlook) -> str:
    """The verdict, the reason, what stands against a swap, and the next command."""
    queries = max((one.queries for one in report.slices), default=0)
    about = (
        f"gallery version {report.version}, {report.gallery_rows:,} rows, {queries:,} queries, "
        f"{report.created[:10]}, check {check_name(report)}"
    )
    notes = "".join(f"<p><strong>Note:</strong> {text(one)}</p>" for one in outlook.notes)
    drawn = TICK if report.verdict == "pass" else MARKS[report.verdict]
    icon = f'<svg class="mark {report.verdict}" viewBox="-8 -8 16 16" aria-hidden="true">{drawn}</svg>'
    return (
        f'<header class="{report.verdict}">{icon}<div>'
        f"<h1><strong>{report.verdict.upper()}</strong> {name(way_of(report))} on {name(report.gallery)}</h1>"
        f"<p>{text(headline(report))}</p>{notes}<p>Next: {code(outlook.following or next_command(report))}</p>"
        f"<p class=dim>{text(about)}</p>"
        "</div></header>"
    )
