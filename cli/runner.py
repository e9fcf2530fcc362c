"""Runs one command by its arguments, and shows an error: one line on stderr, and with `--json` a document on stdout."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable

import typer

from skipfill.cli.error_messages import message, sentence
from skipfill.store.errors import SkipfillError, reason


def run_command(root: Callable[..., object], arguments: list[str]) -> int:
    """Run one command of the click group `root`; its exit code."""
    try:
        code = root(arguments, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except SkipfillError as error:
        return _show(arguments, message(error), sentence(error.hint), error.exit_code)
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
