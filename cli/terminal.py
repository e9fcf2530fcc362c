"""What people and machines see: results on stdout, progress and advice on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

SCHEMA_VERSION = 1
VERDICT_STYLE = {"pass": "bold green", "fail": "bold red", "inconclusive": "bold yellow"}


def emit(document: dict[str, Any], *, as_json: bool, show: Callable[[Console], None], exit_code: int = 0) -> None:
    """Print a result: the document with `--json`, otherwise what `show` prints."""
    if as_json:
        print(json.dumps({"schema_version": SCHEMA_VERSION, **document, "exit_code": exit_code}, indent=1))
    else:
        show(Console(highlight=False, soft_wrap=True))


def advise(text: str, *, quiet: bool) -> None:
    """The next command, on stderr."""
    if not quiet:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[dim]{text}[/dim]")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[str] = ()) -> Table:
    """A plain table; the columns in `numbers` are right-aligned."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        last = column == columns[-1]
        made.add_column(column, justify="right" if column in numbers else "left", overflow="fold", no_wrap=not last)
    for row in rows:
        made.add_row(*(str(value) for value in row))
    return made


class Bar:
    """One progress bar after another. `start` a stage, `advance` it, and `note` what goes on."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def start(self, what: str, total: int) -> None:
        if self._task is not None:
            self._progress.update(self._task, visible=False)
        self._task = self._progress.add_task(what, total=total, note="")

    def advance(self, count: int) -> None:
        if self._task is not None:
            self._progress.update(self._task, advance=count)

    def note(self, what: str, text: str) -> None:
        """Say what goes on now, and how."""
        if self._task is not None:
            self._progress.update(self._task, description=what, note=text)


@contextmanager
def progress(*, quiet: bool) -> Iterator[Bar]:
    """A progress bar on stderr with rate and time left; silent when quiet or not a terminal."""
    console = Console(stderr=True)
    shown = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=8),
        TextColumn("{task.percentage:>3.0f}%"),
        _Rate(),
        TextColumn("left"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}", style="dim"),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )
    with shown:
        yield Bar(shown)


class _Rate(TextColumn):
    """Items per second, short."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Any) -> Any:
        from rich.text import Text

        speed = task.speed or 0.0
        for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if speed >= limit:
                return Text(f"{speed / limit:.1f}{unit}/s")
        return Text(f"{speed:.0f}/s")
