"""The steps of the demo: commands that run in this process, and the checks that they left."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from pathlib import Path

import typer
from rich.text import Text

from skipfill.cli.reports.findings import headline
from skipfill.cli.runner import run_command
from skipfill.cli.terminal.printing import VERDICT_STYLE, printer
from skipfill.cli.terminal.progress import progress_of_quiet_commands
from skipfill.store.checks.index import CheckIndex
from skipfill.store.checks.report import Report
from skipfill.store.checks.saved_reports import load_report
from skipfill.store.galleries.log import latest
from skipfill.store.models.cards import load_card
from skipfill.store.storage.location import open_store

STORE = Path(".skipfill")
WITHOUT_QUIET = ("history",)  # commands that have no such option


class Story:
    """Runs commands in this process, showing each as it would be typed; skips what an earlier run has done.

    Args:
        root: the click group of all commands.
        quiet: print nothing, and show no progress.
    """

    def __init__(self, root: Callable[..., object], *, quiet: bool) -> None:
        self._root = root
        self._quiet = quiet
        self._out = printer(quiet=quiet)

    def say(self, text: str) -> None:
        """Print a heading."""
        self._out.print()
        self._out.print(text, style="bold")

    def do(self, command: str, unless: Path | None = None) -> None:
        """Run one command, its output shown, unless the path that it makes is there."""
        command = " ".join(command.split())
        self._show(command)
        if unless is not None and unless.exists():
            self._out.print("done by an earlier run")
            return
        code, printed = self._run(command)
        for line in printed.rstrip().splitlines():
            self._out.print(line)
        if code:
            raise typer.Exit(code)

    def check(self, gallery: str, model: str, options: str) -> Report:
        """Check a model and print its verdict with the reason; the report of an earlier run if it holds."""
        command = f"check {gallery} {model} {options}"
        self._show(command)
        mine = Path(f"check-{model}.txt")  # a user's own check may have other queries and another policy
        report = _check_that_holds(gallery, model)
        if report and mine.exists() and report.id == mine.read_text():
            self._out.print("done by an earlier run")
        else:
            code, printed = self._run(f"{command} --json")
            document = json.loads(printed)
            if "check" not in document:
                raise typer.Exit(code)
            report = load_report(open_store(STORE), gallery, document["check"]["id"])
            mine.write_text(report.id)
        verdict = (report.verdict.upper(), VERDICT_STYLE[report.verdict])
        self._out.print(Text.assemble(verdict, f"  {headline(report)}"))
        return report

    def end(self, lines: Iterable[object]) -> None:
        """Print the last screen."""
        self._out.print()
        for line in lines:
            self._out.print(line)

    def _show(self, command: str) -> None:
        self._out.print(f"$ skipfill {command}", style="dim")

    def _run(self, command: str) -> tuple[int, str]:
        """Exit code and output of a command. Its progress is shown, the next commands that it names are not."""
        quiet = [] if command.startswith(WITHOUT_QUIET) else ["--quiet"]
        with progress_of_quiet_commands(shown=not self._quiet), redirect_stdout(io.StringIO()) as printed:
            code = run_command(self._root, [*shlex.split(command), *quiet])
        return code, printed.getvalue()


def _check_that_holds(gallery: str, model: str) -> Report | None:
    """The newest check of the model on the gallery as it is now."""
    objects = open_store(STORE)
    now, fingerprint = latest(objects, gallery), load_card(objects, model).fingerprint
    of_rows = CheckIndex(objects, gallery).of(now.rows_state, fingerprint)
    checks = [check for check in of_rows if check.state == now.state]
    return load_report(objects, gallery, checks[-1].check) if checks else None
