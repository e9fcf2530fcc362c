"""Forms of a report besides the terminal: JUnit XML, GitHub, one HTML file. Each is a function of the report."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Context

from skipfill.cli.reports.files import SUMMARY, append, refuse_overwriting, replace
from skipfill.cli.reports.files import refuse_unwritable as refuse_unwritable
from skipfill.cli.reports.github import failure_command, failure_summary, step_summary, workflow_commands
from skipfill.cli.reports.html import failure_html, html
from skipfill.cli.reports.junit import failure_junit, junit
from skipfill.cli.terminal.printing import to_stdout
from skipfill.store.errors import BadInput, SkipfillError

if TYPE_CHECKING:
    from skipfill.cli.reports.outlook import Outlook
    from skipfill.store.checks.report import Report

CHECK = "check"


def write_reports(
    report: Report, outlook: Outlook, *, junit_file: Path | None, html_file: Path | None, github: bool, json: bool
) -> None:
    """Write what was asked for: files as a whole or not at all.

    Annotations go to stdout, or to stderr where stdout is one JSON document: GitHub's runner reads both.

    Args:
        outlook: what the check means for a swap now.

    Raises:
        BadInput: a file cannot be written.
    """
    if junit_file is not None:
        replace(junit_file, junit(report, outlook))
    if html_file is not None:
        replace(html_file, html(report, outlook))
    if github:
        if os.environ.get(SUMMARY):
            append(Path(os.environ[SUMMARY]), f"\n{step_summary(report, outlook)}")
        with to_stdout():
            print(workflow_commands(report, outlook), end="", file=sys.stderr if json else sys.stdout)


def write_failure(root: Any, arguments: list[str], error: str, *, json: bool) -> None:
    """Write why a check could not run into each report that was asked for, so that a CI system shows it.

    What cannot be written is left out: the error itself is on stderr.

    Args:
        root: the click group of all commands, and the `arguments` that it was run with.
        error: on one line.
    """
    # Once more and without complaint: the command may have ended before its options were read.
    settings: dict[str, Any] = {"resilient_parsing": True, "ignore_unknown_options": True, "allow_extra_args": True}
    _, words, _ = root.make_parser(Context(root, **settings)).parse_args(args=list(arguments))
    if words[:1] != [CHECK]:
        return
    options = root.commands[CHECK].make_context(CHECK, words[1:], **settings).params
    for option, made in (("junit", failure_junit), ("html", failure_html)):
        with suppress(BadInput):
            if options.get(option):
                refuse_overwriting(Path(options[option]), _inputs(options), _store(options))
                replace(Path(options[option]), made(error))
    with suppress(BadInput):
        if options.get("github"):
            print(failure_command(error), end="", file=sys.stderr if json else sys.stdout)
            if os.environ.get(SUMMARY):
                append(Path(os.environ[SUMMARY]), f"\n{failure_summary(error)}")


def _inputs(options: dict[str, Any]) -> list[Path]:
    """The files that a check reads by its options."""
    given = [*(options.get("items") or ()), *(options.get("gallery_items") or ()), options.get("judgements")]
    return [Path(path) for path in given if path]


def _store(options: dict[str, Any]) -> object:
    """The place of the store that the options name; None for no store."""
    from skipfill.store.storage.location import find_root

    with suppress(SkipfillError, OSError):
        return find_root(options.get("store"))
    return None
