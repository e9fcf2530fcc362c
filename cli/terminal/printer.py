"""A console of plain lines: in a terminal they fit its width; elsewhere each text is one line."""

from __future__ import annotations

import shutil
from itertools import accumulate
from typing import Any

from rich.console import Console
from rich.constrain import Constrain
from rich.table import Table
from rich.text import Span, Text

from skipfill.cli.terminal.characters import visible
from skipfill.cli.terminal.wrapping import wrapped

NEVER_CUT = 10_000  # outside a terminal a text, and a table's row, is one line; ids and scores are not to be lost


class Printer(Console):
    """A console that prints text as it is: not cut, not coloured by its content, and never read as markup.

    A text is one line: line breaks in it are written out, as all control characters are. In a terminal, a line that is
    too long is broken between words.
    """

    def __init__(self, *, stderr: bool = False, quiet: bool = False) -> None:
        super().__init__(stderr=stderr, quiet=quiet, highlight=False, markup=False, soft_wrap=True, width=NEVER_CUT)

    def print(self, *parts: Any, **how: Any) -> None:
        """Print texts and tables, as `Console.print` does."""
        super().print(*(self._ready(part) for part in parts), **how)

    def _ready(self, part: Any) -> Any:
        if isinstance(part, Table):
            return self._fitted(part) if self.is_terminal else self._unpadded(part)
        if not isinstance(part, str | Text):
            return part
        return wrapped(plain(part), terminal_width()) if self.is_terminal else plain(part)

    def _fitted(self, part: Table) -> Any:
        """The table, no wider than the terminal if it has columns that may wrap."""
        return part if all(column.no_wrap for column in part.columns) else Constrain(part, terminal_width())

    def _unpadded(self, part: Table) -> Text:
        """The table without the blanks with which rich pads each line: they are a nuisance in a file or a pipe."""
        with self.capture() as captured:
            super().print(part)
        return Text("\n".join(line.rstrip() for line in captured.get().splitlines()))


def terminal_width() -> int:
    """Columns of the terminal; 80 where it does not say."""
    return shutil.get_terminal_size((80, 24)).columns


def plain(part: str | Text) -> Text:
    """A text that holds no control character, in the same style."""
    if isinstance(part, str):
        return Text(visible(part))
    shown = [visible(character) for character in part.plain]
    at = [0, *accumulate(map(len, shown))]
    made = part.blank_copy("".join(shown))
    made.spans = [Span(at[span.start], at[min(span.end, len(shown))], span.style) for span in part.spans]
    return made
