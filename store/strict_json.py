"""JSON from outside to a dataclass: every key, and every value of the declared type, or one error that names it."""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from skipfill.store.errors import BadInput, reason

T = TypeVar("T")
LARGEST = 1 << 20
DEEPEST = 64
NAMES = {str: "a text", int: "a whole number", float: "a finite number", bool: "true or false", type(None): "null"}


def parsed(data: bytes, where: object, largest: int = LARGEST) -> Any:
    """The JSON value in `data`.

    Raises:
        BadInput: more than `largest` bytes, or no JSON.
    """
    if len(data) > largest:
        raise BadInput(where, expected=f"at most {largest:,} bytes", found="more")
    try:
        return json.loads(data)
    except RecursionError as error:
        raise BadInput(where, expected="JSON", found="thousands of nested values") from error
    except ValueError as error:
        raise BadInput(where, expected="JSON", found=reason(error)) from error


def fitted(kind: type[T], raw: Any, where: object) -> T:
    """`raw`, a JSON value, as the dataclass `kind`; its fields may be dataclasses, lists, dicts, literals, None or Any.

    Raises:
        BadInput: a missing or unknown key, or a value of another type; the error names the place.
    """
    if not isinstance(raw, dict):
        raise BadInput(where, expected="a JSON object", found=_shown(raw))
    hints = get_type_hints(kind)
    names = [one.name for one in fields(kind)]  # type: ignore[arg-type]
    missing, unknown = [name for name in names if name not in raw], [key for key in raw if key not in names]
    if missing or unknown:
        expected = f"a key {missing[0]!r}" if missing else f"keys {', '.join(names)} only"
        raise BadInput(where, expected=expected, found="none" if missing else _shown(unknown[0]))
    return kind(**{name: _value(hints[name], raw[name], f"{where}, {name}") for name in names})


def _value(kind: Any, raw: Any, where: str) -> Any:
    if kind is Any:
        return _anything(raw, where, DEEPEST)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return None if raw is None else _value(next(one for one in inner if one is not type(None)), raw, where)
    if origin is Literal:
        if raw not in inner:
            raise BadInput(where, expected=" or ".join(repr(one) for one in inner), found=_shown(raw))
        return raw
    if origin in (list, dict):
        if not isinstance(raw, origin):
            raise BadInput(where, expected="a list" if origin is list else "a JSON object", found=_shown(raw))
        if origin is list:
            return [_value(inner[0], one, f"{where} {at}") for at, one in enumerate(raw)]
        return {_value(str, key, where): _value(inner[1], one, f"{where} {_shown(key)}") for key, one in raw.items()}
    record: type[Any] = kind
    return fitted(record, raw, where) if is_dataclass(record) else _plain(kind, raw, where)


def _anything(raw: Any, where: str, deepest: int) -> Any:
    if deepest == 0:
        raise BadInput(where, expected=f"at most {DEEPEST} nested values", found="more")
    if isinstance(raw, list):
        return [_anything(one, where, deepest - 1) for one in raw]
    if isinstance(raw, dict):
        return {_plain(str, key, where): _anything(one, where, deepest - 1) for key, one in raw.items()}
    return raw if type(raw) is float else _plain(type(raw), raw, where)


def _plain(kind: Any, raw: Any, where: str) -> Any:
    if kind is float and type(raw) is int and abs(raw) < 2**53:
        return float(raw)
    fits = type(raw) is kind and not (kind is float and not math.isfinite(raw))
    if not fits or (kind is str and not _encodes(raw)):
        raise BadInput(where, expected=NAMES[kind], found=_shown(raw))
    return raw


def _encodes(text: str) -> bool:
    """A lone surrogate is JSON, and can be neither printed nor stored."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(raw: Any) -> str:
    text = ascii(raw)
    return text if len(text) <= 60 else f"{text[:60]}..."
