"""Progress of a command on stderr: a bar in a terminal, now and then a plain line in a log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from skipfill.cli.terminal.characters import visible
from skipfill.cli.terminal.printing import printer

SECONDS_BETWEEN_LINES = 10  # of progress in a log; and at least a hundredth of the work


class Bar:
    """One progress bar after another. `start` a stage, `advance` it, and `note` what goes on. A total is above 0."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def start(self, what: str, total: int) -> None:
        if self._task is not None:
            self._progress.update(self._task, visible=False)
        self._task = self._progress.add_task(visible(what), total=total, note="")

    def advance(self, count: int) -> None:
        if self._task is not None:
            self._progress.update(self._task, advance=count)

    def note(self, what: str, text: str) -> None:
        """Say what goes on now, and how."""
        if self._task is not None:
            self._progress.update(self._task, description=visible(what), note=visible(text))


class Lines:
    """The same where there is no terminal: now and then a plain line, for a log. A total of 0 means unknown."""

    def __init__(self) -> None:
        self._total = self._done = self._percent = 0
        self._what = self._text = ""
        self._last = time.monotonic()

    def start(self, what: str, total: int) -> None:
        self._what, self._text, self._total, self._done, self._percent = what, "", total, 0, 0

    def advance(self, count: int) -> None:
        self._done += count
        percent = 100 * self._done // max(1, self._total)
        if percent > self._percent and time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            self._last, self._percent = time.monotonic(), percent
            done = f"{percent}%" if self._total else f"{self._done:,}"
            printer(stderr=True).print(f"{self._what}: {done}  {self._text}".rstrip())

    def note(self, what: str, text: str) -> None:
        self._what, self._text = what, text


_shown_though_quiet: ContextVar[bool] = ContextVar("shown_though_quiet", default=False)


@contextmanager
def progress_of_quiet_commands(*, shown: bool) -> Iterator[None]:
    """In the block, show the progress of commands that are told to be quiet: for a command that runs others."""
    token = _shown_though_quiet.set(shown)
    try:
        yield
    finally:
        _shown_though_quiet.reset(token)


@contextmanager
def progress(*, quiet: bool, in_pipe: bool = False) -> Iterator[Bar | Lines]:
    """A progress bar on stderr with rate and time left; plain lines if that is not a terminal; nothing if quiet.

    Args:
        in_pipe: other commands of the same pipe may print there too, so there are plain lines only.
    """
    quiet = quiet and not _shown_though_quiet.get()
    console = Console(stderr=True)
    if not quiet and (in_pipe or not console.is_terminal):
        yield Lines()
        return
    shown = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=8),
        TextColumn("{task.percentage:>3.0f}%"),
        _Rate(),
        TextColumn("left"),
        TimeRemainingColumn(compact=True),
        _Note(table_column=Column(no_wrap=False)),  # of all columns, rich narrows those that may wrap first
        console=console,
        transient=True,
        refresh_per_second=4,  # drawing takes milliseconds from the training
        disable=quiet,
    )
    with shown:
        yield Bar(shown)


class _Note(ProgressColumn):
    """A note on the current stage, cut where the line ends."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["note"], style="dim", no_wrap=True, overflow="ellipsis")


class _Rate(TextColumn):
    """Items per second, short."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Any) -> Any:
        speed = task.speed or 0.0
        for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if speed >= limit:
                return Text(f"{speed / limit:.1f}{unit}/s")
        return Text(f"{speed:.0f}/s")
