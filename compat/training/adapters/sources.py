"""Opens the input of a closed-form method, and refuses options that have no effect on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from skipfill.compat.encoders.choice import EncoderChoice, chosen_encoder
from skipfill.compat.methods.adapters.adapter import Adapter
from skipfill.compat.methods.registry import ADAPTERS
from skipfill.compat.settings import checked
from skipfill.compat.training.overrides import checked_settings, refuse_unused
from skipfill.compat.training.recipe import Recipe, Sources
from skipfill.compat.training.sources import held_out_ids, opened_gallery, without
from skipfill.store.errors import Advice, BadInput, Parameter
from skipfill.store.galleries.gallery import Gallery
from skipfill.store.models.cards import space_of
from skipfill.store.parquet.items import Items, open_items
from skipfill.store.spaces import Space
from skipfill.store.storage.object_store import ObjectStore

RECIPE_USED = ("method", "encoder", "seed", "settings", "presets")
SOURCES_USED = ("items", "gallery", "hold_out", "columns")


@dataclass(frozen=True)
class OpenedPairs:
    """Everything that a map is fitted from, opened.

    Attributes:
        adapters: the methods to try, the simplest first.
        settings: method -> its settings, as given.
        gallery: only the rows made by the model of its space.
        items: without those held out.
        space: the gallery's space, as its model's card describes it now.
    """

    adapters: dict[str, type[Adapter]]
    settings: dict[str, Any]
    gallery: Gallery
    items: Items
    choice: EncoderChoice
    encoder_settings: Mapping[str, Any]
    space: Space


def open_pairs(objects: ObjectStore, recipe: Recipe, sources: Sources) -> OpenedPairs:
    """Open items and gallery.

    Raises:
        BadInput: an option that has no effect, no gallery, an encoder that would have to be trained, or items and
            gallery with ids of two types.
    """
    _refuse_without_effect(recipe, sources)
    gallery = opened_gallery(objects, recipe.method, sources)
    assert gallery is not None
    items = open_items(sources.items, sources.columns)
    if items.ids.type != gallery.rows.id_kind:
        raise BadInput(
            f"{items.where}, column {items.id_column}",
            expected=f"ids of type {gallery.rows.id_kind}, as in gallery {gallery.name}",
            found=f"{items.ids.type}",
            hint="Items and gallery are joined by id: write both with the same type.",
        )
    excluded_ids = held_out_ids(sources, items) if sources.hold_out else None
    items = without(items, excluded_ids)
    choice = chosen_encoder(recipe.encoder, items, at_rest=True)
    adapters = ADAPTERS[recipe.method].tried(ADAPTERS)
    refuse_unused(checked_settings(recipe.settings), [*adapters, choice.name])
    settings = {
        name: kind.settings_type(**checked(name, kind.settings_type, recipe.given(name)))
        for name, kind in adapters.items()
    }
    return OpenedPairs(
        adapters=adapters,
        settings=settings,
        gallery=gallery,
        items=items,
        choice=choice,
        encoder_settings=recipe.given(choice.name),
        space=space_of(objects, gallery.space.name),
    )


def _refuse_without_effect(recipe: Recipe, sources: Sources) -> None:
    """Raise `BadInput` for an option that only training by gradients takes."""
    for given, used in ((recipe, RECIPE_USED), (sources, SOURCES_USED)):
        for field in fields(given):
            value = getattr(given, field.name)
            if field.name not in used and value != field.default and value:
                raise BadInput(
                    Parameter(field.name),
                    expected="a method that uses it",
                    found=f"method {recipe.method}, which is fitted in closed form",
                    hint=Advice("leave_out", parameter=field.name),
                )
