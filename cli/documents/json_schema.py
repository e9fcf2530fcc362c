"""JSON Schemas (draft 2020-12) of dataclasses, closed to other keys; the descriptions are those of the docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from textwrap import dedent
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from skipfill.cli.terminal.failure import SCHEMA_VERSION

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]
PLAIN = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null", dict: "object"}
PRINTED: dict[str, Schema] = {
    "schema_version": {"const": SCHEMA_VERSION, "description": "changes when a field changes its meaning, or goes."},
    "exit_code": {"type": "integer", "description": "of the command."},
}
"""Keys that printing adds to a document."""
_ENTRY = re.compile(r"(\w+(?:, \w+)*): (.+)")


@dataclass(frozen=True)
class Form:
    """One form of an output.

    Attributes:
        kind: dataclass of its fields.
        printed: those of `PRINTED` that are added.
    """

    kind: type[Any]
    printed: tuple[str, ...] = tuple(PRINTED)


Absent = Mapping[type[Any], frozenset[str]]
"""Dataclass -> names of fields."""


def schema_of(name: str, title: str, forms: Sequence[Form], may_lack: Absent, never: Absent) -> Schema:
    """The schema of an output that has one of several forms.

    Args:
        name: of the schema, which its `$id` has.
        may_lack: fields that documents may lack.
        never: fields that no document has.
    """
    made = _Definitions(may_lack, never)
    references = [made.reference(form.kind, form.printed) for form in forms]
    return {
        "$schema": DIALECT,
        "$id": f"urn:skipfill:{SCHEMA_VERSION}:{name}",
        "title": title,
        **(references[0] if len(references) == 1 else {"anyOf": references}),
        "$defs": dict(sorted(made.definitions.items())),
    }


@dataclass
class _Definitions:
    """The schemas of dataclasses by their names, made as they are met."""

    may_lack: Absent
    never: Absent
    definitions: dict[str, Schema] = field(default_factory=dict)
    made: dict[str, tuple[type[Any], Sequence[str]]] = field(default_factory=dict)

    def reference(self, kind: type[Any], printed: Sequence[str] = ()) -> Schema:
        """A reference to the schema of a dataclass."""
        name = kind.__name__
        if self.made.setdefault(name, (kind, printed)) != (kind, printed):
            raise TypeError(f"{name}: two dataclasses have this name, or two forms of an output hold it")
        if name not in self.definitions:
            self.definitions[name] = {}  # for a dataclass that holds itself
            self.definitions[name] = self._object(kind, printed)
        return {"$ref": f"#/$defs/{name}"}

    def _object(self, kind: type[Any], printed: Sequence[str]) -> Schema:
        hints, told = get_type_hints(kind, include_extras=True), described_fields(kind)
        never, may_lack = self.never.get(kind, frozenset()), self.may_lack.get(kind, frozenset())
        names = [one.name for one in fields(kind) if one.name not in never]
        own = {name: {**_description(told.get(name)), **self._value(hints[name])} for name in names}
        order = dict.fromkeys([*printed[:1], *own, *printed])
        properties = {name: own[name] if name in own else PRINTED[name] for name in order}
        return {
            **_description(summary(kind)),
            "type": "object",
            "properties": properties,
            "required": [name for name in properties if name not in may_lack],
            "additionalProperties": False,
        }

    def _value(self, hint: Any) -> Schema:
        """The schema of the values of a type."""
        origin, inner = get_origin(hint), get_args(hint)
        if hint is Any:
            return {}
        if hint in PLAIN:
            return {"type": PLAIN[hint]}
        if origin is Annotated:  # JSON values of a dataclass
            return self._value(inner[1])
        if origin in (Union, UnionType):
            members = [self._value(one) for one in inner]
            plain = [one["type"] for one in members if set(one) == {"type"}]
            return {"type": plain} if len(plain) == len(members) else {"anyOf": members}
        if origin is Literal:
            return {"enum": list(inner)}
        if origin in (list, tuple):
            return {"type": "array", "items": self._value(inner[0])}
        if origin is dict:
            keys: Schema = {"propertyNames": {"pattern": "^[0-9]+$"}} if inner[0] is int else {}
            return {"type": "object", **keys, "additionalProperties": self._value(inner[1])}
        if is_dataclass(hint) and isinstance(hint, type):
            return self.reference(hint)
        raise TypeError(f"no schema for {hint}")


def _description(text: str | None) -> Schema:
    """The description of a value for readers of JSON, which has no None."""
    return {"description": re.sub(r"\bNone\b", "null", text)} if text else {}


def summary(kind: type[Any]) -> str:
    """The text of a docstring before its sections, on one line."""
    text = re.split(r"^(?:Attributes|Raises):$", inspect.cleandoc(kind.__doc__ or ""), maxsplit=1, flags=re.M)[0]
    return " ".join(text.split())


def described_fields(kind: type[Any]) -> dict[str, str]:
    """The descriptions of fields in the section `Attributes` of a dataclass's docstring, and of those it extends."""
    told: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        section = inspect.cleandoc(one.__doc__ or "").partition("Attributes:\n")[2].partition("\n\n")[0]
        names: list[str] = []
        for line in dedent(section).splitlines():
            entry = _ENTRY.match(line)
            if entry is not None:
                names = entry[1].split(", ")
            told |= {name: entry[2] if entry else f"{told[name]} {line.strip()}" for name in names}
    return told
