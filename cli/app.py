"""The `skipfill` command: every subcommand by name."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from skipfill.cli.commands import (
    advise,
    blend,
    check,
    demo,
    doctor,
    drop,
    encode,
    gallery,
    guide,
    history,
    init,
    matrix,
    methods,
    model,
    overview,
    plan,
    policy,
    prune,
    refresh,
    report,
    rollback,
    search,
    status,
    swap,
    train,
)
from skipfill.cli.configuration import FILE, ConfiguredCommand, listen_to_environment
from skipfill.cli.runner import run_command
from skipfill.cli.signals import end_on_signals, finished
from skipfill.cli.terminal.streams import prepare_streams


def _show_version(requested: bool) -> None:
    if requested:
        print(f"skipfill {version('skipfill')}")
        raise typer.Exit


app = typer.Typer(
    name="skipfill",
    help="Upgrade an embedding model without backfilling the gallery: train a compatible one, check it, swap it.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root(
    context: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    code: Annotated[
        list[str] | None,
        typer.Option(
            envvar="SKIPFILL_CODE",
            metavar="python:MODULE:FACTORY",
            help="Code of yours that a model may run as its encoder: only this, with no arguments but those you give "
            "here, as in MODULE:FACTORY(depth=3). Repeatable.",
        ),
    ] = None,
    config: Annotated[  # read by each command
        Path | None,
        typer.Option(
            envvar="SKIPFILL_CONFIG",
            help=f"File with harmless options of commands. Default: {FILE} in this folder, or else beside the store.",
        ),
    ] = None,
) -> None:
    from skipfill.compat.trusted_code import permit_only

    permit_only(code or [])
    listen_to_environment(context.command)
    if context.invoked_subcommand is None:
        raise typer.Exit(overview.overview())


app.command("init")(init.init)
app.command("guide")(guide.guide)
gallery.app.command("refresh")(refresh.refresh)
gallery.app.command("drop")(drop.drop)
app.add_typer(gallery.app, name="gallery")
app.add_typer(model.app, name="model")
app.command("methods")(methods.methods)
app.command("train")(train.train)
app.command("blend")(blend.blend)
app.command("encode")(encode.encode)
app.command("check")(check.check)
app.command("advise")(advise.advise)
app.command("report")(report.report)
app.command("matrix")(matrix.matrix)
app.command("policy")(policy.policy)
app.command("plan")(plan.plan)
app.command("swap")(swap.swap)
app.command("rollback")(rollback.rollback)
app.command("history")(history.history)
app.command("status")(status.status)
app.command("search")(search.search)
app.command("doctor")(doctor.doctor)
app.command("prune")(prune.prune)
app.command("demo")(demo.demo)
for part in (app, gallery.app, model.app):
    for command in part.registered_commands:
        command.cls = ConfiguredCommand


def main() -> None:
    """Run the command line and end the process with its exit code."""
    prepare_streams()
    end_on_signals()
    code = run(sys.argv[1:])
    finished(code)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command; its exit code."""
    return run_command(typer.main.get_command(app), arguments)
