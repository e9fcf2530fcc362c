"""skipfill report"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from skipfill.cli.options import GalleryName, GitHub, HtmlFile, Json, JunitFile, Store, opened
from skipfill.cli.reports import write_reports
from skipfill.cli.reports.text import show_report
from skipfill.cli.terminal import emit


def report(
    gallery: GalleryName,
    check: Annotated[str, typer.Argument(metavar="CHECK", help="Id of a check of this gallery.")],
    junit: JunitFile = None,
    html: HtmlFile = None,
    github: GitHub = False,
    store: Store = None,
    json: Json = False,
) -> None:
    """Show a check that was made before, or write it in another form; exit 0, whatever its verdict.

    Example: skipfill report products 71b245d1a14f --html report.html
    """
    from skipfill.store.checks.saved_reports import load_report

    saved = load_report(opened(store), gallery, check)
    write_reports(saved, junit_file=junit, html_file=html, github=github, json=json)
    if json or not (junit or html or github):
        emit(
            {"check": asdict(saved), "verdict": saved.verdict},
            as_json=json,
            show=lambda out: show_report(out, saved),
        )
