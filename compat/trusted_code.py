"""Permits the user's own code to run: only calls of factories that the user named."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Any

from skipfill.store.errors import Advice, BadInput, NotPermitted, Parameter

_PERMITTED: ContextVar[frozenset[str]] = ContextVar("permitted", default=frozenset())
_FACTORY = re.compile(r"[\w.]+:[\w.]+")
_PREFIX = "python:"
_ARGUMENT = re.compile(r"\s*(\w+)\s*=\s*")
_BETWEEN = re.compile(r"[,\s]*")
_JSON = json.JSONDecoder()


def permit_only(calls: Iterable[str]) -> None:
    """Let these calls run, and no others.

    Args:
        calls: `module:factory`, or `module:factory(name=value,...)` with values in JSON; each text one or several,
            with commas or spaces between.

    Raises:
        BadInput: another form.
    """
    _PERMITTED.set(frozenset(_calls(" ".join(calls))))


def permit(call: str) -> None:
    """Let one more call run, see `permit_only`."""
    _PERMITTED.set(_PERMITTED.get() | frozenset(_calls(call)))


def refuse_unpermitted(call: str) -> None:
    """Raise `NotPermitted` unless the user permitted this very call: a bundle must never decide what runs.

    Args:
        call: as `call_text` has it.
    """
    permitted = _PERMITTED.get()
    if call not in permitted:
        factory = call.partition("(")[0]
        others = sorted(other for other in permitted if other.partition("(")[0] == factory)
        raise NotPermitted(
            "an encoder that is code of your own",
            expected=f"permission to run {call}",
            found=f"permission to run {', '.join(others)}" if others else "none",
            hint=Advice("permit_code", call=f"{_PREFIX}{call}"),
        )


def call_text(factory: str, arguments: Mapping[str, Any]) -> str:
    """The call of a factory as one text without spaces. Equal texts mean equal calls.

    Raises:
        BadInput: the factory is not of the form `module:factory`, or an argument's name is not one that Python has.
    """
    if not _FACTORY.fullmatch(factory):
        raise BadInput("an encoder of your own", expected="python:MODULE:FACTORY", found=f"{_PREFIX}{factory}")
    for name in arguments:
        if not (name.isidentifier() and _ARGUMENT.fullmatch(f"{name}=")):
            raise BadInput(f"arguments of {factory}", expected="names as Python has them", found=repr(name))
    values = [f"{name}={_json(arguments[name])}" for name in sorted(arguments)]
    return factory + (f"({','.join(values)})" if values else "")


def _json(value: Any) -> str:
    """A value as JSON without spaces, except inside texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).replace(" ", "\\u0020")


def _calls(text: str) -> list[str]:
    """Read calls with commas or spaces between, each as `call_text` has it."""
    calls: list[str] = []
    position = _BETWEEN.match(text).end()  # type: ignore[union-attr]  # it matches nothing as well
    try:
        while position < len(text):
            factory = _FACTORY.match(text, position + len(_PREFIX) * text.startswith(_PREFIX, position))
            if factory is None:
                raise ValueError
            arguments, position = _arguments(text, factory.end())
            calls.append(call_text(factory[0], arguments))
            between = _BETWEEN.match(text, position)
            if between is None or (between.end() == position < len(text)):
                raise ValueError
            position = between.end()
    except (ValueError, RecursionError) as error:
        raise BadInput(
            Parameter("code"),
            expected="python:MODULE:FACTORY, or python:MODULE:FACTORY(NAME=VALUE,...) with values in JSON",
            found=repr(text),
        ) from error
    return calls


def _arguments(text: str, position: int) -> tuple[dict[str, Any], int]:
    """The arguments in parentheses at a position, if there are any, and the position after them."""
    arguments: dict[str, Any] = {}
    if not text.startswith("(", position):
        return arguments, position
    position += 1
    while not text.startswith(")", position):
        if arguments:
            if not text.startswith(",", position):
                raise ValueError
            position += 1
        name = _ARGUMENT.match(text, position)
        if name is None or name[1] in arguments:
            raise ValueError
        arguments[name[1]], position = _JSON.raw_decode(text, name.end())
    return arguments, position + 1
