"""Rules for texts at 80 columns: lines fit, and no word is cut."""

from __future__ import annotations

import re

from rich.cells import cell_len
from rich.text import Text

from skipfill.cli.terminal.wrapping import CONTINUED, wrapped

WIDTH = 80
STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def assert_fits(shown: str) -> None:
    """Every line of what a terminal shows fits, but for words that are longer than a line."""
    for line in STYLE.sub("", shown).split("\n"):
        words = line.removesuffix(CONTINUED).split()
        assert cell_len(line) <= WIDTH or len(words) == 1, line
        assert "\u2026" not in line


def assert_wraps(line: str) -> None:
    """A line of a log is shown in a terminal with the same words, none of them cut."""
    shown = wrapped(Text(line), WIDTH).plain
    assert_fits(shown)
    assert shown.replace(f"{CONTINUED}\n", "\n").split() == line.split()
