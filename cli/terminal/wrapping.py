"""Lines that fit a terminal: broken between words, and within a command so that it can still be pasted."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.cells import cell_len
from rich.text import Text

from skipfill.cli.terminal.next_command import WITH_STORE

INDENT = 2
"""Of the lines after the first."""
_NAMES = "|".join((*WITH_STORE, "methods", "guide", "demo", "--code", "model", "gallery"))
_COMMAND = re.compile(rf"(?<!`)\bskipfill (?:{_NAMES})\b(?:'[^']*'|.)*?(?=[.;)](?:\s|$)|,? or |\s\s|$)")
_WORD = re.compile(r"\S+")
_WORD_OF_COMMAND = re.compile(r"(?:'[^']*'|[^\s'])+")  # what is quoted stays on one line
CONTINUED = " \\"
"""The end of a line on which a command does not end, for a shell."""


def wrapped(text: Text, width: int) -> Text:
    """A line of text as several, of at most `width` cells each; a word that is longer stays whole."""
    plain = text.plain
    if cell_len(plain) <= width or width <= 0:
        return text
    indent = " " * (len(plain) - len(plain.lstrip()) + INDENT)
    made = text.blank_copy()
    began = ended = 0
    for start, end, in_command in _words(plain):
        prefix = indent if began else ""
        limit = width - (len(CONTINUED) if in_command else 0)
        if ended > began and cell_len(prefix + plain[began:end]) > limit:
            made.append(prefix).append_text(text[began:ended])
            made.append((CONTINUED if in_command else "") + "\n")
            began = start
        ended = end
    return made.append(indent if began else "").append_text(text[began:])


def _words(plain: str) -> Iterator[tuple[int, int, bool]]:
    """Start and end of each word, and whether it is one of a command, its first aside."""
    at = 0
    for command in _COMMAND.finditer(plain):
        for word in _WORD.finditer(plain, at, command.start()):
            yield *word.span(), False
        for number, word in enumerate(_WORD_OF_COMMAND.finditer(plain, *command.span())):
            # The first two stand together: `skipfill check`.
            yield *word.span(), number > 0
        at = command.end()
    for word in _WORD.finditer(plain, at):
        yield *word.span(), False
