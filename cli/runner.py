"""Runs one command by its arguments, and shows an error: one line on stderr, and with `--json` a document on stdout."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import typer

from skipfill.cli.error_messages import message, sentence
from skipfill.cli.terminal import failure
from skipfill.cli.terminal.characters import one_line, redacted, visible
from skipfill.cli.terminal.next_command import name_store, remember
from skipfill.cli.terminal.printing import printer, to_stdout
from skipfill.cli.terminal.streams import OutputLost, ReaderGone, mute
from skipfill.store.errors import SkipfillError, reason

UNFORESEEN = 70
"""Exit code of an error that no one foresaw: neither the input's nor the evidence's."""
INTERRUPTED = 130


def run_command(root: Callable[..., object], arguments: list[str]) -> int:
    """Run one command of the click group `root`; its exit code."""
    remember(arguments)
    try:
        code = root(arguments, standalone_mode=False)
        sys.stdout.flush()  # here, where it may fail
        return code if isinstance(code, int) else 0
    except SkipfillError as error:
        return _show(root, arguments, message(error), sentence(error.hint), error.exit_code)
    except typer.TyperException as error:
        return _show(root, arguments, one_line(error.format_message()), f"See: {_command_of(error)} --help", 2)
    except (KeyboardInterrupt, typer.Abort):
        return _show(root, arguments, "interrupted", failure.go_on(arguments), INTERRUPTED)
    except ReaderGone:
        mute()  # nothing more to say
        return 0
    except OutputLost as error:
        mute()
        _tell(f"stdout: {reason(error)}", "What the command did stays done: only what it prints is lost.")
        return 2
    except OSError as error:
        # What the system refuses before any command looks at it, such as a path that is too long for it.
        where = f"{error.filename}: " if isinstance(error.filename, str) else ""
        if isinstance(error, FileNotFoundError) and not where and not _in_a_folder():
            return _show(root, arguments, "the current folder was removed", "Go to another one with cd.", 2)
        return _show(root, arguments, where + reason(error), "", 2)
    except Exception as error:
        said = f"{type(error).__name__}: {reason(error)}" if str(error) else type(error).__name__
        return _show(root, arguments, f"unforeseen {said}", _how_to_report(), UNFORESEEN)
    finally:
        name_store(None)


def _show(root: Any, arguments: list[str], said: str, hint: str, code: int) -> int:
    """Print an error and, of a check, write it into the reports that were asked for."""
    said, hint = redacted(said), redacted(hint)
    as_json = "--json" in arguments
    _tell(said, hint)
    try:
        with to_stdout():
            if code != INTERRUPTED:
                from skipfill.cli.reports import write_failure

                write_failure(root, arguments, failure.joined(said, hint), json=as_json)
            if as_json:
                print(failure.document(said, hint, code))
    except OutputLost:
        mute()  # the error itself is said
    return code


def _tell(said: str, hint: str) -> None:
    """Print an error on stderr."""
    err = printer(stderr=True)
    if os.environ.get("SKIPFILL_DEBUG"):
        for line in _traceback():
            err.print(line)
    if said and err.is_terminal:
        err.print(failure.line(said, ""))
        err.print(hint) if hint else None
    elif said:
        err.print(failure.line(said, hint))  # one line of a log


def _command_of(error: typer.TyperException) -> str:
    """The command whose options were wrong."""
    words: list[str] = []
    context: Any = getattr(error, "ctx", None)
    while context is not None and context.parent is not None:
        words.insert(0, context.info_name)
        context = context.parent
    return " ".join(["skipfill", *words])


def _in_a_folder() -> bool:
    """Whether the current folder still exists."""
    try:
        return bool(Path.cwd())
    except FileNotFoundError:
        return False


def _traceback() -> list[str]:
    """The traceback of the error that is handled, without credentials, a line each."""
    return [visible(line) for line in redacted(traceback.format_exc()).splitlines()]


def _how_to_report() -> str:
    """The hint after an unforeseen error. It writes the traceback into a file, unless it is shown."""
    about = f"skipfill {version('skipfill')}, Python {platform.python_version()}, {platform.platform()}"
    file = "the traceback above"
    if not os.environ.get("SKIPFILL_DEBUG"):
        try:
            handle, name = tempfile.mkstemp(".txt", "skipfill-error-")
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                out.write("\n".join([about, *_traceback(), ""]))
            file = str(Path(name))
        except OSError:
            file = "the traceback that SKIPFILL_DEBUG=1 shows"
    return f"This is an error in skipfill. Please report it with {file} ({about})."
