"""Lines that fit a terminal: broken between words, and within a command so that it can still be pasted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from skipfill.cli.terminal.next_command import WITH_STORE

INDENT = 2
"""Spaces before the lines after the first."""
_NAMES = "|".join((*WITH_STORE, "methods", "guide", "demo", "--code", "model", "gallery"))
_COMMAND = re.compile(rf"(?<!`)\bskipfill (?:{_NAMES})\b(?:'[^']*'|.)*?(?=[.;)](?:\s|$)|,? or |\s\s|$)")
_WORD = re.compile(r"\S+")
_WORD_OF_COMMAND = re.compile(r"(?:'[^']*'|[^\s'])+")  # what is quoted stays on one line
_STOPS = re.compile(r"[^\s]*")  # after a command, on its last line
CONTINUED = " \\"
"""The end of a line on which a command does not end, for a shell."""


@dataclass(frozen=True)
class _Word:
    """A word of a line.

    Attributes:
        start, end: its place.
        together: the end of a command that it begins, which is not broken if it fits on a line.
        room: cells to be left after it.
        continued: whether a line that ends before it ends within a command.
    """

    start: int
    end: int
    together: int = 0
    room: int = 0
    continued: bool = False


def wrapped(text: Text, width: int) -> Text:
    """A line of text as several, of at most `width` cells each; a word that is longer stays whole."""
    plain = text.plain
    if cell_len(plain) <= width:
        return text
    indent = " " * (len(plain) - len(plain.lstrip()) + INDENT)
    made = text.blank_copy()
    began = ended = 0
    for word in _words(plain):
        end, room = word.end, word.room
        if word.together > end and cell_len(indent + plain[word.start : word.together]) <= width:
            end, room = word.together, 0
        if ended > began and cell_len((indent if began else "") + plain[began:end]) > width - room:
            made.append(indent if began else "").append_text(text[began:ended])
            made.append((CONTINUED if word.continued else "") + "\n")
            began = word.start
        ended = word.end
    return made.append(indent if began else "").append_text(text[began:])


def _words(plain: str) -> Iterator[_Word]:
    """Words of prose, and words of commands as a shell splits them."""
    at = 0
    for command in _COMMAND.finditer(plain):
        for word in _WORD.finditer(plain, at, command.start()):
            yield _Word(*word.span())
        words = [word.span() for word in _WORD_OF_COMMAND.finditer(plain, *command.span())]
        stops = _STOPS.match(plain, command.end())
        at = stops.end() if stops else command.end()
        for number, (start, end) in enumerate(words):
            last = number == len(words) - 1
            yield _Word(
                start,
                at if last else end,
                together=at if number == 0 else 0,
                room=0 if last else len(CONTINUED),
                continued=number > 0,
            )
    for word in _WORD.finditer(plain, at):
        yield _Word(*word.span())
