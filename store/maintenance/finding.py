"""One thing that a diagnosis found, and looks that end in a finding where they fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from skipfill.store.errors import Advice, Hint, SkipfillError, reason
from skipfill.store.galleries.log import RESTORE

T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """One thing that the diagnosis found.

    Attributes:
        kind: a `problem` keeps something from working; a `note` does not.
        where: the part of the store or of the environment.
        what: the state that was found, and the one that was expected.
        todo: the remedy; empty where none is needed.
    """

    kind: Literal["problem", "note"]
    where: str
    what: str
    todo: Hint = ""


def tried(where: str, look: Callable[..., T], *arguments: object) -> tuple[T | None, list[Finding]]:
    """Call `look`; return its result, or a finding in place of its error."""
    try:
        return look(*arguments), []
    except SkipfillError as error:
        unsaid = not error.hint or (isinstance(error.hint, Advice) and error.hint.key == "see_doctor")
        return None, [Finding("problem", where, str(error), RESTORE if unsaid else error.hint)]
    except Exception as error:  # whatever it is: this is where it is named
        return None, [Finding("problem", where, f"cannot be read: {reason(error)}", RESTORE)]
