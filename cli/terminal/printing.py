"""Printing: results on stdout, as text or JSON; errors and the next command on stderr.

All that commands print goes through here, and leaves without control characters: see `cli/terminal/characters.py`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from skipfill.cli.terminal.failure import SCHEMA_VERSION
from skipfill.cli.terminal.next_command import from_source, with_store
from skipfill.cli.terminal.printer import Printer, plain
from skipfill.cli.terminal.streams import ReaderGone, mute

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from skipfill.store.galleries.log import Version
    from skipfill.store.maintenance.prune import Leftover
    from skipfill.store.spaces import View
    from skipfill.store.storage.object_store import ObjectStore

VERDICT_STYLE = {"pass": "bold green", "fail": "bold red", "inconclusive": "bold yellow", "accepted": "dim"}


def printer(*, stderr: bool = False, quiet: bool = False) -> Printer:
    """A printer of lines: see `Printer`."""
    return Printer(stderr=stderr, quiet=quiet)


def emit(
    document: DataclassInstance | dict[str, Any],
    *,
    as_json: bool,
    show: Callable[[Console], None],
    exit_code: int = 0,
) -> None:
    """Print a result: with `--json` the document, one of `cli/documents/registry.py`; otherwise what `show` prints.

    Where the reader of stdout has gone, the command goes on to its exit code.
    """
    with to_stdout():
        if as_json:
            values = document if isinstance(document, dict) else asdict(document)
            print(json.dumps({"schema_version": SCHEMA_VERSION, **values, "exit_code": exit_code}, indent=1))
        else:
            show(printer())


@contextmanager
def to_stdout() -> Iterator[None]:
    """In the block, print a result to its end; if the reader of stdout has gone, print nothing more.

    Raises:
        OutputLost: it cannot be written.
    """
    try:
        yield
        sys.stdout.flush()
    except ReaderGone:
        mute()


def show_store(objects: ObjectStore, *, quiet: bool) -> None:
    """The store that was changed, where an option or SKIPFILL_STORE named it: the folder does not tell then."""
    if from_source() and not quiet:
        printer(stderr=True).print(f"Store: {objects.root}{from_source()}", style="dim")


def show_next(text: str, *, quiet: bool) -> None:
    """The next command, on stderr; it has the store that this one named."""
    if not quiet:
        printer(stderr=True).print(with_store(text), style="dim")


def show_input(only_vectors: str, *, quiet: bool) -> None:
    """The column that is encoded because no other one holds vectors; nothing for an empty name."""
    if only_vectors:
        show_next(f"Input: column {only_vectors}, the only column of vectors", quiet=quiet)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numbers: Sequence[str] = (),
    wrap: Sequence[str] = (),
) -> Table:
    """A plain table. Only a `Text` may carry style.

    Args:
        numbers: columns that are right-aligned.
        wrap: columns whose cells take more lines where the terminal is too narrow.
    """
    made = Table(box=None, pad_edge=False, header_style="bold", show_header=any(columns))
    for column in columns:
        side: Any = "right" if column in numbers else "left"
        made.add_column(plain(column), justify=side, no_wrap=column not in wrap, overflow="fold")
    for row in rows:
        # A user's own words and ids may look like markup.
        made.add_row(*(plain(value if isinstance(value, Text) else str(value)) for value in row))
    return made


def facts(rows: Iterable[tuple[str, object]]) -> Table:
    """A table of names and values; a long value takes more lines."""
    made = table(["", " "], rows, wrap=[" "])
    made.show_header = False
    return made


def counted(count: int, thing: str) -> str:
    """`1 leftover file`, `3,070 leftover files`."""
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def short_time(at: str, *, seconds: bool = False) -> str:
    """A stored time to the minute, without its zone: `2026-01-31 12:00`."""
    return at[: 19 if seconds else 16].replace("T", " ")


def view_words(view: View) -> str:
    """The part of a model's vectors that a view takes, in words."""
    return f"the first {view.dim} coordinates" if view.kind == "prefix" else f"{view.kind}, {view.dim} coordinates"


def policy_line(version: Version) -> str:
    """The policy that a swap enforces, on one line."""
    return version.policy_in_force.short + ("" if version.policy else " (the defaults)")


def leftover_table(leftovers: Iterable[Leftover]) -> Table:
    """A table of the files that interrupted runs left in a store; their ages in hours."""
    columns = ["leftover", "bytes", "hours old", "what it is"]
    rows = [(one.key, f"{one.bytes:,}", f"{one.age / 3600:,.1f}", one.why) for one in leftovers]
    return table(columns, rows, numbers=columns[1:3], wrap=columns[::3])
