"""JSON from a file to a dataclass, strictly: a key or value that does not fit is one error that names it.

Also the digest of a JSON value, which names and protects what the store holds.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, NoReturn, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from skipfill.store.errors import BadInput, reason

T = TypeVar("T")
LARGEST = 1 << 20
"""Most bytes of a document, such as a plan, unless its reader allows more."""
LARGEST_STORED = 1 << 26
"""Most bytes of a document in the store."""
DEEPEST = 64
"""Most values of any kind that may be nested in each other."""
NAMES = {str: "a string", int: "a whole number", float: "a finite number", bool: "true or false", type(None): "null"}
Older = Mapping[type, Mapping[str, Callable[[dict[str, Any]], Any]]]
"""Fields that files of older releases lack: dataclass -> field -> its value, made from the fields that were read."""


def json_digest(content: Any, *, sort_keys: bool = True) -> str:
    """SHA-256 of a JSON value, in hex. It is part of the file formats: the bytes that are hashed never change.

    Args:
        sort_keys: False where the files of earlier releases were digested in the order of their keys.
    """
    return hashlib.sha256(json.dumps(content, sort_keys=sort_keys).encode()).hexdigest()


def parsed(data: bytes, where: object, largest: int = LARGEST) -> Any:
    """The JSON value in `data`.

    Raises:
        BadInput: more than `largest` bytes, not JSON, or a text that can be neither printed nor stored.
    """
    if not data:
        raise BadInput(where, expected="JSON", found="an empty file")
    if len(data) > largest:
        raise BadInput(where, expected=f"at most {largest:,} bytes", found="more")
    try:
        value = json.loads(data, parse_constant=_refused)
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate is valid JSON
    except RecursionError as error:
        raise BadInput(where, expected="JSON", found="thousands of nested values") from error
    except ValueError as error:
        raise BadInput(where, expected="JSON", found=reason(error)) from error
    return value


def stored(kind: type[T], data: bytes, where: object, *, what: str, newest: int, older: Older | None = None) -> T:
    """A file of the store as the dataclass `kind`, which has a `format`.

    Fields that the file lacks come from `older` or their defaults: an earlier release wrote it.

    Args:
        what: kind of file, in words.
        newest: format that this release writes.

    Raises:
        BadInput: JSON that does not fit, or a newer format; see `fitted`.
    """
    raw = parsed(data, where, LARGEST_STORED)
    refuse_newer(raw, where, what, newest)
    return fitted(kind, raw, where, older or {})


def refuse_newer(raw: Any, where: object, what: str, newest: int) -> None:
    """Raise `BadInput` for a JSON object whose format is newer than `newest`."""
    written = raw.get("format") if isinstance(raw, dict) else None
    if type(written) is int and written > newest:
        raise BadInput(
            where,
            expected=f"{what} format {newest} or older",
            found=f"format {_shown(written)}",
            hint="Upgrade skipfill: a newer release wrote this.",
        )


def fitted(kind: type[T], raw: Any, where: object, older: Older | None = None) -> T:
    """`raw`, a JSON value, as the dataclass `kind`.

    Its fields may be dataclasses, lists, tuples of one type, dicts, literals or None.

    Args:
        older: values for missing fields, before their defaults; None: no field may be missing.

    Raises:
        BadInput: a missing or unknown key, or a value of another type; the error names the place.
    """
    if not isinstance(raw, dict):
        raise BadInput(where, expected="a JSON object", found=_shown(raw))
    hints = _hints(cast(Any, kind))
    declared = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    derived = {} if older is None else {**_defaults(declared), **older.get(kind, {})}
    missing = [name for name in declared if name not in raw and name not in derived]
    unknown = [key for key in raw if key not in declared]
    if missing or unknown:
        expected = f"a key {missing[0]!r}" if missing else f"keys {', '.join(declared)} only"
        raise BadInput(where, expected=expected, found="none" if missing else _shown(unknown[0]))
    read = {name: _value(hints[name], raw[name], f"{where}, {name}", older) for name in declared if name in raw}
    return kind(**{**{name: derived[name](read) for name in declared if name not in raw}, **read})


@cache
def _hints(kind: Any) -> dict[str, Any]:
    """The types of a dataclass's fields. Resolving them takes longer than reading a small file."""
    return get_type_hints(kind)


def _defaults(declared: dict[str, Field[Any]]) -> dict[str, Callable[[dict[str, Any]], Any]]:
    defaults: dict[str, Callable[[dict[str, Any]], Any]] = {}
    for name, field in declared.items():
        if field.default is not MISSING:
            defaults[name] = lambda read, value=field.default: value  # type: ignore[misc]
        elif field.default_factory is not MISSING:
            defaults[name] = lambda read, make=field.default_factory: make()  # type: ignore[misc]
    return defaults


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant}, which is not JSON")


def _value(kind: Any, raw: Any, where: str, older: Older | None) -> Any:
    if kind is Any:
        _refuse_deep(raw, where, DEEPEST)
        return raw
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return (
            None
            if raw is None
            else _value(next(member for member in inner if member is not type(None)), raw, where, older)
        )
    if origin is Literal:
        if raw not in inner:
            raise BadInput(where, expected=" or ".join(map(repr, inner)), found=_shown(raw))
        return raw
    if origin in (list, tuple, dict):
        json_type: type[Any] = dict if origin is dict else list
        if not isinstance(raw, json_type):
            raise BadInput(where, expected="a JSON object" if origin is dict else "a list", found=_shown(raw))
        if inner[0] in (str, int) and origin is not dict and all(type(value) is inner[0] for value in raw):
            return origin(raw)  # the same as below, for columns of thousands of values
        if origin is not dict:
            return origin(_value(inner[0], value, f"{where} {place}", older) for place, value in enumerate(raw))
        return {key: _value(inner[1], value, f"{where} {_shown(key)}", older) for key, value in raw.items()}
    record: type[Any] = kind
    return fitted(record, raw, where, older) if is_dataclass(record) else _plain(kind, raw, where)


def _refuse_deep(raw: Any, where: str, deepest: int) -> None:
    if deepest == 0:
        raise BadInput(where, expected=f"values nested at most {DEEPEST} deep", found="deeper ones")
    for value in raw.values() if isinstance(raw, dict) else raw if isinstance(raw, list) else ():
        _refuse_deep(value, where, deepest - 1)


def _plain(kind: Any, raw: Any, where: str) -> Any:
    if kind is float and type(raw) is int and abs(raw) < 2**53:
        return float(raw)
    if type(raw) is not kind or (kind is float and not math.isfinite(raw)):
        raise BadInput(where, expected=NAMES[kind], found=_shown(raw))
    return raw


def _shown(raw: Any) -> str:
    text = ascii(raw)
    return text if len(text) <= 60 else f"{text[:60]}..."
