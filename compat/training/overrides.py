"""What a user sets of methods and encoders, by their names: `oca.extra_dims=64`, or a table of skipfill.toml."""

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
FORM = "NAME.FIELD=VALUE, NAME a method or an encoder"


def settings_type(name: str) -> type[Any]:
    """The settings of the method or encoder of this name.

    Raises:
        BadInput: there is none.
    """
    if name in METHODS:
        return METHODS[name].settings_type
    if name in ENCODERS:
        return ENCODERS[name].settings_type
    raise unknown_name("method or encoder", name, {**METHODS, **ENCODERS}, Advice("see_settings"))


def read_settings(texts: Iterable[str]) -> Given:
    """Each `NAME.FIELD=VALUE` as a typed value; of two for one field, the later.

    Raises:
        BadInput: of another form, an unknown name or field, or a value of another type.
    """
    given: Given = {}
    for text in texts:
        target, equals, value = text.partition("=")
        name, dot, field = target.strip().partition(".")
        if not (equals and dot):
            raise BadInput(Parameter("settings"), expected=FORM, found=repr(text), hint=Advice("settings_example"))
        kind = settings_type(name)
        read = json_or_text if _free(name) else field_of(name, kind, field).read
        given.setdefault(name, {}).update(_checked(name, {field: read(value.strip())}))
    return given


def checked_settings(given: Mapping[str, Mapping[str, Any]]) -> Given:
    """The same for values that have a type already, as in skipfill.toml.

    Raises:
        BadInput: an unknown name or field, or a value of another type.
    """
    return {name: _checked(name, values) for name, values in given.items()}


def refuse_unused(given: Mapping[str, Any], used: Iterable[str]) -> None:
    """Raise `BadInput` for settings of what a training does not use: they would have no effect."""
    for name in given:
        if name not in used:
            raise BadInput(
                Parameter("settings"),
                expected=f"settings of what this training uses: {', '.join(used)}",
                found=f"settings of {name}, which would have no effect",
            )


def settled(recipe: Recipe, method: Any, name: str, encoder: Encoder) -> Recipe:
    """The recipe with every setting that can be given, given or not, and none without an effect.

    Args:
        method: settings of the method.
        name: of the encoder.
    """
    described = recipe.given(name) if _free(name) else _given_of(encoder.settings)
    return replace(recipe, settings={recipe.method: _given_of(method), name: described}, presets={})


def _free(name: str) -> bool:
    return name in ENCODERS and ENCODERS[name].any_setting


def _checked(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    kind = settings_type(name)
    return dict(values) if _free(name) else checked(name, kind, values)


def _given_of(settings: Any) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settable(type(settings))}
