"""The one error tree. Every error says what was expected, what was found, where, and the next command."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Parameter:
    """An input of a call, by its name in Python. The command line shows its flag instead: `hold_out`, `--hold-out`.

    Attributes:
        value: the part of the input in question; empty for all of it.
    """

    name: str
    value: object = ""

    def __str__(self) -> str:
        return f"{self.name} {self.value}".rstrip()


class Advice:
    """The next step after an error, by key. `cli/error_messages.py` has each key's sentence, with flags and commands.

    Attributes:
        values: the values that complete the sentence.
    """

    def __init__(self, key: str, **values: object) -> None:
        self.key = key
        self.values = values

    @classmethod
    def of(cls, key: str, values: Mapping[str, object]) -> Advice:
        """Advice that another process gave."""
        return cls(key, **values)


Hint = str | Advice


class SkipfillError(Exception):
    """An error that a user can act on.

    Attributes:
        exit_code: the exit status: 1 refused on the evidence, 2 bad input, 4 stale or lost race.
        hint: the next step: one sentence, or `Advice` where it takes words of the command line. Empty for none.
    """

    exit_code = 2

    def __init__(self, message: str, hint: Hint = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, (type(self), self.args, vars(self))


def _made_again(kind: type[SkipfillError], arguments: tuple[str, ...], attributes: dict[str, Any]) -> SkipfillError:
    """An error of another process."""
    error = kind.__new__(kind, *arguments)
    vars(error).update(attributes)
    return error


class BadInput(SkipfillError):
    """Something given by the user, or found in a file, is not what was expected.

    Attributes:
        where: the file, the part of the store, or the `Parameter` that it is about.
    """

    def __init__(self, where: object, *, expected: str, found: str, hint: Hint = "") -> None:
        super().__init__(f"{where}: expected {expected}, found {found}", hint)
        self.where = where


@contextmanager
def in_the_store() -> Iterator[None]:
    """Let the error of a damaged file of the store, read in the block, lead to the diagnosis if it has no hint."""
    try:
        yield
    except BadInput as damage:
        damage.hint = damage.hint or Advice("see_doctor")
        raise


class NotPermitted(BadInput):
    """Code that the user did not name was about to run. Nothing has run."""


class Stale(SkipfillError):
    """The state changed since it was looked at: another writer came first, or a check is out of date."""

    exit_code = 4


class NotAcceptable(SkipfillError):
    """A possible change that was refused, because the evidence is against it or missing."""

    exit_code = 1


def minute(at: str) -> str:
    """A stored time (UTC, ISO 8601) as messages show it: `2026-01-31 12:00 UTC`."""
    return f"{at[:16].replace('T', ' ')} UTC"


def reason(error: Exception) -> str:
    """Message of a library's exception, short: the system's words if it has any, else its first line."""
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def unknown_name(kind: str, name: str, known: Iterable[str], hint: Hint = "", where: object = "") -> BadInput:
    """The error for an unknown name, with the nearest known ones."""
    names = sorted(known)
    near = get_close_matches(name, names, n=3, cutoff=0.4) or names[:8]
    expected = f"a known {kind}" + (f" (nearest: {', '.join(near)})" if near else " (there is none yet)")
    return BadInput(where or kind, expected=expected, found=repr(name), hint=hint)


@dataclass(frozen=True)
class BlockPlace:
    """The place of a block of rows.

    Attributes:
        within: file and column.
        rows: the number of each row in the file, from 0.
    """

    within: str
    rows: Sequence[int] | NDArray[np.int64]

    def __str__(self) -> str:
        return self.within if len(self.rows) == 0 or self.rows[0] == 0 else f"{self.within}, from row {self.rows[0]} on"


def row_place(where: object, row: int) -> str:
    """The place of row number `row` of what `where` names, such as `gallery.parquet, column vector, row 7`."""
    if isinstance(where, BlockPlace):
        return f"{where.within}, row {where.rows[row]}"
    return f"{where}, row {row}"
