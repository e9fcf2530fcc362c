"""The `skipfill` command: every subcommand by name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
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
    overlay,
    overview,
    plan,
    policy,
    prune,
    refresh,
    report,
    rollback,
    schema,
    search,
    status,
    swap,
    train,
    verify,
)
from skipfill.cli.configuration import FILE, ConfiguredCommand, listen_to_environment
from skipfill.cli.runner import run_command
from skipfill.cli.signals import end_on_signals, finished
from skipfill.cli.terminal.help_page import HelpGroup
from skipfill.cli.terminal.streams import prepare_streams


def _show_version(requested: bool) -> None:
    if requested:
        print(f"skipfill {version('skipfill')}")
        raise typer.Exit


app = typer.Typer(
    name="skipfill",
    help="Upgrade an embedding model without backfilling the gallery: train a compatible model, check it, swap it in.",
    epilog="Without a command, `skipfill` says what to do next. Each option can also be set by a variable: "
    "SKIPFILL_CHECK_MARGIN=0.01 is the same as `skipfill check --margin 0.01`.",
    cls=HelpGroup,
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
            metavar="CODE",
            help="Your code that models may run as their encoder: python:MODULE:FACTORY, with its arguments if it has "
            "any, such as python:MODULE:FACTORY(depth=3). Repeatable. Default: none.",
        ),
    ] = None,
    config: Annotated[  # read by each command
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="SKIPFILL_CONFIG",
            help=f"File with values for harmless options, such as --epochs. Default: {FILE} in this folder, or else "
            "beside the store.",
        ),
    ] = None,
) -> None:
    from skipfill.compat.trusted_code import permit_only

    permit_only(code or [])
    listen_to_environment(context.command)
    if context.invoked_subcommand is None:
        raise typer.Exit(overview.overview())


START, TRAIN, CHECK, RELEASE, MAINTAIN = "Start", "Train", "Check", "Release and search", "Maintain"

gallery.app.command("refresh")(refresh.refresh)
gallery.app.command("verify")(verify.verify)
gallery.app.command("drop")(drop.drop)
app.command("demo", rich_help_panel=START)(demo.demo)
app.command("guide", rich_help_panel=START)(guide.guide)
app.command("schema", rich_help_panel=START)(schema.schema)
app.command("init", rich_help_panel=START)(init.init)
app.add_typer(gallery.app, name="gallery", rich_help_panel=START)
app.command("train", rich_help_panel=TRAIN)(train.train)
app.command("methods", rich_help_panel=TRAIN)(methods.methods)
app.command("blend", rich_help_panel=TRAIN)(blend.blend)
app.command("encode", rich_help_panel=TRAIN)(encode.encode)
app.add_typer(model.app, name="model", rich_help_panel=TRAIN)
app.command("advise", rich_help_panel=CHECK)(advise.advise)
app.command("check", rich_help_panel=CHECK)(check.check)
app.command("report", rich_help_panel=CHECK)(report.report)
app.command("policy", rich_help_panel=CHECK)(policy.policy)
app.command("matrix", rich_help_panel=CHECK)(matrix.matrix)
app.command("plan", rich_help_panel=RELEASE)(plan.plan)
app.command("swap", rich_help_panel=RELEASE)(swap.swap)
app.command("rollback", rich_help_panel=RELEASE)(rollback.rollback)
app.command("search", rich_help_panel=RELEASE)(search.search)
app.add_typer(overlay.app, name="overlay", rich_help_panel=MAINTAIN)
app.command("status", rich_help_panel=MAINTAIN)(status.status)
app.command("history", rich_help_panel=MAINTAIN)(history.history)
app.command("doctor", rich_help_panel=MAINTAIN)(doctor.doctor)
app.command("prune", rich_help_panel=MAINTAIN)(prune.prune)
for part in (app, gallery.app, model.app, overlay.app):
    for command in part.registered_commands:
        command.cls = ConfiguredCommand

KEPT = 31 << 20
"""Bytes. Once a block of this size is freed, glibc reuses freed memory instead of returning it: fewer page faults."""


def main() -> None:
    """Run the command line and end the process with its exit code."""
    prepare_streams()
    end_on_signals()
    bytes(KEPT)
    code = run(sys.argv[1:])
    finished(code)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command; its exit code."""
    return run_command(_root(), arguments)


@cache  # building it takes longer than many a command
def _root() -> Callable[..., object]:
    return typer.main.get_command(app)
