"""Hyperparameters by name: the fields of the frozen dataclass that a method or encoder is built with."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from skipfill.store.errors import Advice, BadInput, unknown_name
from skipfill.store.strict_json import fitted

T = TypeVar("T")


@dataclass(frozen=True)
class Range:
    """The range of a number, both ends included: `Annotated[int, Range(1)]`. Without one it must be at least 0."""

    low: float = 0.0
    high: float = math.inf

    def __str__(self) -> str:
        return (
            f"from {_plain(self.low)} to {_plain(self.high)}" if self.high < math.inf else f"of at least {self.low:g}"
        )


def _plain(number: float) -> str:
    """A number as people write it: `65536`, and not `6.5536e+04`."""
    return str(int(number)) if number == int(number) else f"{number:g}"


POSITIVE = Range(1e-6)
SHARE = Range(0.0, 1.0)
WIDEST = 1 << 16  # of any vector or layer
WIDEST_FEATURES = 2 * WIDEST  # an encoder may put two layers side by side
MOST_CLASSES = 1 << 24
DERIVED = "derived"  # `Annotated[int, DERIVED]`: derived from the items or the source; a user cannot set it


@dataclass(frozen=True)
class Field:
    """One hyperparameter of a settings class.

    Attributes:
        kind: int, float, bool, str, dict or a Literal.
        default: None where it is derived from the items unless given.
    """

    name: str
    kind: Any
    range: Range
    default: Any

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values of a Literal; empty for other kinds."""
        return get_args(self.kind)

    @property
    def expected(self) -> str:
        """A description of the accepted values."""
        if get_origin(self.kind) is Literal:
            *others, last = (str(choice) for choice in self.choices)
            return f"{', '.join(others)} or {last}" if others else last
        numbers = {int: f"a whole number {self.range}", float: f"a number {self.range}"}
        return numbers.get(self.kind) or {bool: "true or false", str: "text"}.get(self.kind, "an object in JSON")

    def accepts(self, value: Any) -> bool:
        """Whether a JSON value fits this field. A whole number fits a field for numbers."""
        if get_origin(self.kind) is Literal:
            return value in self.choices and not isinstance(value, bool)
        if self.kind in (int, float):
            whole = type(value) is int
            number = whole or (self.kind is float and type(value) is float and math.isfinite(value))
            return number and self.range.low <= value <= self.range.high
        return type(value) is self.kind

    def read(self, text: str) -> Any:
        """The JSON value that a text stands for."""
        return text if self.kind is str or text in self.choices else json_or_text(text)


def settable(settings_type: type[Any]) -> dict[str, Field]:
    """The hyperparameters that a user can give, by name."""
    return {
        field.name: field
        for field, derived in _declared(settings_type)
        if not derived and (field.kind in (int, float, bool, str, dict) or get_origin(field.kind) is Literal)
    }


def _declared(settings_type: type[Any]) -> Iterator[tuple[Field, bool]]:
    """Every field of a settings class, and whether it is derived from the items or the source."""
    hints = get_type_hints(settings_type, include_extras=True)
    for field in fields(settings_type):
        hint = hints[field.name]
        hint, *notes = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        kind = dict if get_origin(hint) is dict else hint
        default = None if field.default is MISSING else field.default
        limits = next((note for note in notes if isinstance(note, Range)), Range())
        yield Field(field.name, kind, limits, default), DERIVED in notes


def json_or_text(text: str) -> Any:
    """The JSON value that a text stands for; the text itself where it stands for none."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def field_of(part: str, settings_type: type[Any], name: str) -> Field:
    """The hyperparameter `name` of method or encoder `part`.

    Raises:
        BadInput: an unknown name; the error offers the nearest ones.
    """
    settings = settable(settings_type)
    if name not in settings:
        raise unknown_name(f"setting of {part}", name, settings, Advice("see_settings"))
    return settings[name]


def checked(part: str, settings_type: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Check given values, and turn whole numbers into floats for fields that are floats.

    Raises:
        BadInput: an unknown name, or a value of another type or out of range.
    """
    values = {}
    for name, value in given.items():
        field = field_of(part, settings_type, name)
        if not field.accepts(value):
            raise BadInput(f"setting {part}.{name}", expected=field.expected, found=json.dumps(value))
        values[name] = float(value) if field.kind is float else value
    return values


def read_described(settings_type: type[T], described: Any, where: object) -> T:
    """The settings or sizes that a bundle describes as JSON values, every number within its range.

    Raises:
        BadInput: a missing or unknown name, or a value of another type or out of range.
    """
    settings = fitted(settings_type, described, where, {})
    _refuse_out_of_range(settings, where)
    return settings


def _refuse_out_of_range(settings: Any, where: object) -> None:
    for field, _ in _declared(type(settings)):
        value = getattr(settings, field.name)
        if is_dataclass(value):
            _refuse_out_of_range(value, f"{where}, {field.name}")
        elif field.kind in (int, float) and not field.range.low <= value <= field.range.high:
            raise BadInput(f"{where}, {field.name}", expected=field.expected, found=json.dumps(value))
