"""Settings of methods and encoders that a user gives by name: `oca.extra_dims=64`, or a table of skipfill.toml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from skipfill.compat.encoders.encoder import Encoder
from skipfill.compat.encoders.registry import ENCODERS
from skipfill.compat.methods.registry import METHODS
from skipfill.compat.settings import checked, field_of, json_or_text, settable
from skipfill.compat.training.recipe import Recipe
from skipfill.store.errors import Advice, BadInput, Parameter, unknown_name

Given = dict[str, dict[str, Any]]
"""Method or encoder -> field -> value."""
FORM = "NAME.FIELD=VALUE, NAME a method or an encoder"


def settings_type(name: str) -> type[Any]:
    """The settings class of a method or encoder.

    Raises:
        BadInput: no method or encoder has this name.
    """
    if name in METHODS:
        return METHODS[name].settings_type
    if name in ENCODERS:
        return ENCODERS[name].settings_type
    raise unknown_name("method or encoder", name, {**METHODS, **ENCODERS}, Advice("see_settings"))


def read_settings(texts: Iterable[str]) -> Given:
    """Read texts of the form `NAME.FIELD=VALUE` as typed values. Of two texts for one field, the later one counts.

    Raises:
        BadInput: another form, an unknown name or field, or a value of another type.
    """
    given: Given = {}
    for text in texts:
        field_path, equals, value = text.partition("=")
        name, dot, field = field_path.strip().partition(".")
        if not (equals and dot):
            raise BadInput(Parameter("settings"), expected=FORM, found=repr(text), hint=Advice("settings_example"))
        kind = settings_type(name)
        read = json_or_text if _takes_any(name) else field_of(name, kind, field).read
        given.setdefault(name, {}).update(_checked(name, {field: read(value.strip())}))
    return given


def checked_settings(given: Mapping[str, Mapping[str, Any]]) -> Given:
    """Check values that have a type already, as in skipfill.toml. Numbers are returned in the type of their field.

    Raises:
        BadInput: an unknown name or field, or a value of another type.
    """
    return {name: _checked(name, values) for name, values in given.items()}


def refuse_unused(given: Mapping[str, Any], used: Iterable[str]) -> None:
    """Raise `BadInput` for settings of a method or encoder that the training does not use."""
    for name in given:
        if name not in used:
            raise BadInput(
                Parameter("settings"),
                expected=f"settings of a method or encoder that this training uses: {', '.join(used)}",
                found=f"settings of {name}, which would have no effect",
            )


def settled(recipe: Recipe, method: Any, name: str, encoder: Encoder) -> Recipe:
    """The recipe with all settings of its method and encoder, defaults included, and no others.

    Args:
        method: settings of the method.
        name: name of the encoder.
    """
    described = recipe.given(name) if _takes_any(name) else _settable_values(encoder.settings)
    return replace(recipe, settings={recipe.method: _settable_values(method), name: described}, presets={})


def _takes_any(name: str) -> bool:
    """Whether this is an encoder whose settings are checked only by the user's own code."""
    return name in ENCODERS and ENCODERS[name].any_setting


def _checked(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    kind = settings_type(name)
    return dict(values) if _takes_any(name) else checked(name, kind, values)


def _settable_values(settings: Any) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settable(type(settings))}
