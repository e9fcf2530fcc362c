"""Forms of a report besides the terminal: JUnit XML, GitHub, one HTML file. Each is a function of the report."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from skipfill.cli.reports.github import failure_command, failure_summary, step_summary, workflow_commands
from skipfill.cli.reports.html import html
from skipfill.cli.reports.junit import failure_junit, junit
from skipfill.store.errors import BadInput, reason
from skipfill.store.storage.unfinished import temporary

if TYPE_CHECKING:
    from skipfill.store.checks.report import Report

SUMMARY = "GITHUB_STEP_SUMMARY"
CHECK = "check"


def refuse_unwritable(*paths: Path | None, github: bool = False) -> None:
    """Find out before the measurement whether its reports can be written after it.

    Raises:
        BadInput: no file can be created there.
    """
    for path in paths:
        if path is not None:
            with _telling(path):
                if path.is_dir():
                    raise IsADirectoryError(errno.EISDIR, "")
                with temporary(_beside(path)) as part:
                    part.open("x").close()
    if github and os.environ.get(SUMMARY):
        _append(Path(os.environ[SUMMARY]), "")


def write_reports(report: Report, *, junit_file: Path | None, html_file: Path | None, github: bool, json: bool) -> None:
    """Write what was asked for: files as a whole or not at all.

    Annotations go to stdout, or to stderr where stdout is one JSON document: GitHub's runner reads both.

    Raises:
        BadInput: a file cannot be written.
    """
    files: list[tuple[Path | None, Callable[[Report], str]]] = [(junit_file, junit), (html_file, html)]
    for path, made in files:
        if path is not None:
            _replace(path, made(report))
    if github:
        if os.environ.get(SUMMARY):
            _append(Path(os.environ[SUMMARY]), f"\n{step_summary(report)}")
        print(workflow_commands(report), end="", file=sys.stderr if json else sys.stdout)


def write_failure(root: Any, arguments: list[str], error: str, *, json: bool) -> None:
    """Write why a check could not be made wherever its report was to be written, so that a CI system shows it.

    What cannot be written is left out: the error itself is on stderr.

    Args:
        root: the click group of all commands, and the `arguments` that it was run with.
        error: on one line.
    """
    if next((word for word in arguments if word in root.commands), "") != CHECK:
        return
    # Once more and without complaint: the command may have ended before its options were read.
    rest = arguments[arguments.index(CHECK) + 1 :]
    settings = {"resilient_parsing": True, "ignore_unknown_options": True, "allow_extra_args": True}
    options = root.commands[CHECK].make_context(CHECK, rest, **settings).params
    with suppress(BadInput):
        if options.get("junit"):
            _replace(Path(options["junit"]), failure_junit(error))
    with suppress(BadInput):
        if options.get("github"):
            print(failure_command(error), end="", file=sys.stderr if json else sys.stdout)
            if os.environ.get(SUMMARY):
                _append(Path(os.environ[SUMMARY]), f"\n{failure_summary(error)}")


def _replace(path: Path, text: str) -> None:
    with _telling(path), temporary(_beside(path)) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
        part.replace(path.resolve())


def _append(path: Path, text: str) -> None:
    with _telling(path), path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(text)


_PART = f".{uuid4().hex}.part"


def _beside(path: Path) -> Path:
    """A name of this process's own in the same folder, from where a rename is atomic."""
    return path.resolve().with_name(_PART)


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInput(path, expected="a file that can be written to", found=reason(error)) from error
