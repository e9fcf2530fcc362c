"""skipfill report"""

from __future__ import annotations

from typing import Annotated

import typer

from skipfill.cli import completion
from skipfill.cli.options import GalleryName, GitHub, HtmlFile, Json, JunitFile, Quiet, Store, opened
from skipfill.cli.reports.outlook import outlook_of
from skipfill.cli.terminal.printing import emit, show_next


def report(
    gallery: GalleryName,
    check: Annotated[
        str,
        typer.Argument(
            metavar="CHECK",
            help="Id of a check; or a model, to show its newest check. Default: the gallery's newest check.",
            autocompletion=completion.checks_and_models,
        ),
    ] = "",
    junit: JunitFile = None,
    html: HtmlFile = None,
    github: GitHub = False,
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show a saved check, or write it as HTML or JUnit, or for GitHub.

    The exit code is 0, whatever the verdict.

    Example: skipfill report products 71b245d1a14f --html report.html
    """
    from skipfill.cli.reports import write_reports
    from skipfill.cli.reports.files import refuse_unwritable
    from skipfill.cli.reports.next_steps import cheaper_command
    from skipfill.cli.reports.text import show_report
    from skipfill.store.checks.newest import newest_check
    from skipfill.store.checks.saved_reports import load_report
    from skipfill.store.models.cards import has_model, load_card
    from skipfill.store.storage.layout import valid_name

    objects = opened(store)
    model = load_card(objects, check) if check and has_model(objects, valid_name("check", check)) else None
    if not check or model is not None:
        check = newest_check(objects, gallery, model.fingerprint if model else "")
    saved = load_report(objects, gallery, check)
    refuse_unwritable(junit, html, github=github, store=objects.root)
    outlook = outlook_of(objects, saved)
    write_reports(saved, outlook, junit_file=junit, html_file=html, github=github, json=json)
    for file in filter(None, (junit, html)):
        show_next(f"Written: {file}", quiet=quiet or file.is_relative_to("/dev"))  # a stream needs no note
    if json or not (junit or html or github):
        emit(
            outlook.document_of(saved),
            as_json=json,
            show=lambda out: show_report(out, saved, outlook, objects.root),
        )
        show_next(f"Next: {outlook.following}", quiet=quiet)
        if (cheaper := cheaper_command(saved)) and outlook.following.startswith("skipfill swap"):
            show_next(f"Or, with fewer rows to encode: {cheaper}", quiet=quiet)
