"""The option of a command to run after a change of the release, and how it is run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from skipfill.cli.signals import hinting
from skipfill.cli.terminal import failure
from skipfill.cli.terminal.printing import emit, printer
from skipfill.store.errors import reason

if TYPE_CHECKING:
    from skipfill.cli.documents.releases import RollbackDocument, SwapDocument

AFTER_COMMIT_FAILED = 5
"""Exit code where the release changed, and the command of `--run` failed."""

Run = Annotated[
    str,
    typer.Option(
        "--run",
        metavar="COMMAND",
        help="Shell command to run after the change is written; its stdin is the document that --json prints. If the "
        "command fails, the change stays, and the exit code is 5. Default: none.",
    ),
]


def emit_and_run(
    document: SwapDocument | RollbackDocument, command: str, *, as_json: bool, show: Callable[[Console], None]
) -> int:
    """Print a change that is written: see `emit`. Then run a command, if there is one: see `run_after_commit`.

    As JSON, the change is printed afterwards, because it has the exit code.

    Returns:
        The exit code.
    """
    if as_json:
        code = run_after_commit(command, document)
        emit(document, as_json=True, show=show, exit_code=code)
        return code
    try:
        emit(document, as_json=False, show=show)
    finally:  # the change is written, whether or not it can be printed
        code = run_after_commit(command, document)
    return code


def run_after_commit(command: str, document: SwapDocument | RollbackDocument) -> int:
    """Run a command by the shell with the release on its stdin, and report a failure.

    Its output goes to stderr, so that stdout has nothing but the result of our command.

    Returns:
        The exit code of our command: 0, or `AFTER_COMMIT_FAILED`.
    """
    if not command:
        return 0
    given = json.dumps({"schema_version": failure.SCHEMA_VERSION, **asdict(document), "exit_code": 0})
    try:
        with hinting(f"{_stays(document)}. {_by_hand(document)}"):
            ended = subprocess.run(command, shell=True, input=given.encode(), stdout=2, check=False).returncode
    except OSError as error:  # no shell, or no process
        return _failed(command, document, reason(error))
    if ended:
        return _failed(command, document, f"exit code {ended}" if ended > 0 else f"its end by signal {-ended}")
    return 0


def say_not_run(command: str, *, because: str, quiet: bool) -> None:
    """Say that the command of `--run` did not run."""
    if command and not quiet:
        printer(stderr=True).print(f"--run: not run, because {because}", style="dim")


def _failed(command: str, document: SwapDocument | RollbackDocument, found: str) -> int:
    said = f"--run {command!r}: expected exit code 0, found {found}. {_stays(document)}"
    printer(stderr=True).print(failure.line(said, _by_hand(document)))
    return AFTER_COMMIT_FAILED


def _stays(document: SwapDocument | RollbackDocument) -> str:
    return f"The release stays changed: gallery {document.gallery}, version {document.version.number}"


def _by_hand(document: SwapDocument | RollbackDocument) -> str:
    """The next step where the command of `--run` did not end well: the same swap would find nothing to change."""
    return f"Run the command of --run again by hand. To see the release: skipfill status {document.gallery} --json"
