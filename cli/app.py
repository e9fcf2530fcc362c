"""The `skipfill` command: every subcommand by name, and what an error looks like."""

from __future__ import annotations

import json
import os
import sys
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from skipfill.cli.commands import (
    blend,
    check,
    demo,
    doctor,
    encode,
    gallery,
    history,
    init,
    matrix,
    methods,
    model,
    plan,
    prune,
    release,
    report,
    search,
    train,
)
from skipfill.cli.configuration import FILE, listen_to_environment, nearest_file, read_configuration
from skipfill.store.errors import SkipfillError, reason


def _show_version(asked: bool) -> None:
    if asked:
        print(f"skipfill {version('skipfill')}")
        raise typer.Exit


app = typer.Typer(
    name="skipfill",
    help="Upgrade an embedding model without backfilling the gallery: train a compatible one, check it, swap it.",
    no_args_is_help=True,
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
            help="Code of yours that a model may run as its encoder: only what you name here does. Repeatable.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            envvar="SKIPFILL_CONFIG",
            help=f"File with a table of options for each command. Default: the nearest {FILE} upwards.",
        ),
    ] = None,
) -> None:
    from skipfill.compat.trusted_code import permit_only

    permit_only(code or [])
    listen_to_environment(context.command)
    path = nearest_file(config)
    if path is not None:
        found = read_configuration(path, context)
        context.default_map, context.obj = found.options, found


app.command("init")(init.init)
app.add_typer(gallery.app, name="gallery")
app.add_typer(model.app, name="model")
app.command("methods")(methods.methods)
app.command("train")(train.train)
app.command("blend")(blend.blend)
app.command("encode")(encode.encode)
app.command("check")(check.check)
app.command("report")(report.report)
app.command("matrix")(matrix.matrix)
app.command("plan")(plan.plan)
app.command("swap")(release.swap)
app.command("rollback")(release.rollback)
app.command("history")(history.history)
app.command("status")(history.status)
app.command("search")(search.search)
app.command("doctor")(doctor.doctor)
app.command("prune")(prune.prune)
app.command("demo")(demo.demo)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; its exit code. Errors are one line on stderr, and with `--json` a document on stdout."""
    try:
        code = app(arguments, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except SkipfillError as error:
        return _show(arguments, str(error), error.hint, error.exit_code)
    except typer.TyperException as error:
        return _show(arguments, error.format_message(), "See: skipfill --help", 2)
    except (KeyboardInterrupt, typer.Abort):
        return _show(arguments, "interrupted", "Run the same command again to go on.", 130)
    except BrokenPipeError:
        # The reader has gone: nothing more to say, and nothing to report when Python flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # What the system refuses before any command looks at it, such as a path that is too long for it.
        where = f"{error.filename}: " if isinstance(error.filename, str) else ""
        return _show(arguments, where + reason(error), "", 2)


def _show(arguments: list[str], message: str, hint: str, code: int) -> int:
    if os.environ.get("SKIPFILL_DEBUG"):
        traceback.print_exc()
    if "--json" in arguments:
        document = {"schema_version": 1, "error": message, "hint": hint, "exit_code": code}
        print(json.dumps(document))
    if message:
        print(f"error: {message}" + (f"  {hint}" if hint else ""), file=sys.stderr)
    return code
