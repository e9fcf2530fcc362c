"""Permits the user's own code to run: factories that they named themselves, and no others."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextvars import ContextVar

from skipfill.store.errors import Advice, NotPermitted

_PERMITTED: ContextVar[frozenset[str]] = ContextVar("permitted", default=frozenset())


def permit_only(named: Iterable[str]) -> None:
    """Let these factories run, `module:factory` each or several with commas or spaces between, and no others."""
    _PERMITTED.set(frozenset(factory(one) for text in named for one in re.split(r"[,\s]+", text) if one))


def permit(name: str) -> None:
    """Let one more factory run."""
    _PERMITTED.set(_PERMITTED.get() | {factory(name)})


def refuse_unpermitted(name: str) -> None:
    """Raise `NotPermitted` unless the user named this factory: a bundle must never decide what runs."""
    if name not in _PERMITTED.get():
        raise NotPermitted(
            "an encoder that is code of your own",
            expected=f"permission to run {name}",
            found="none",
            hint=Advice("permit_code", name=name),
        )


def factory(name: str) -> str:
    """`module:factory`, whether or not `python:` stands before it."""
    return name.removeprefix("python:")
