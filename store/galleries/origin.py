"""Which model made the vectors of a file: its own metadata says it, and the model's card must agree.

A gallery's rows are in one space. Most are by the space's own model, or by an encoder known only by its vectors; a
later model with a view onto the space makes more of them, in that view.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skipfill.store.errors import BadInput
from skipfill.store.models.cards import has_model, load_card, view_onto
from skipfill.store.parquet.files import encoded_by
from skipfill.store.spaces import Space
from skipfill.store.storage.address import Address
from skipfill.store.storage.object_store import ObjectStore


def made_by_another(file: Address, space: Space) -> bool:
    """Whether a file that `skipfill encode` wrote says that its vectors are not by the model of `space`, in it."""
    by = encoded_by(file)
    if not by.get("fingerprint"):
        return False
    if "space" not in by:
        return bool(space.fingerprint) and by["fingerprint"] != space.fingerprint
    return by["fingerprint"] != space.fingerprint or by["space"] != space.name


@dataclass(frozen=True)
class RowOrigin:
    """A model that is not the space's own, and its fingerprint; both are empty where none made a file."""

    model: str = ""
    fingerprint: str = ""


def maker(objects: ObjectStore, file: Address, space: Space) -> RowOrigin:
    """Who made a file for a gallery of `space`: nobody in particular where the space's own model did, or none is named.

    Raises:
        BadInput: by another model, and not in its view onto the space; or not by the model of that name here.
    """
    if not made_by_another(file, space):
        return RowOrigin()
    by = encoded_by(file)
    _refuse_other_space(file, by, space)
    model = by.get("model", "")
    if not has_model(objects, model):
        raise _strange(file, by, f"model {model} in this store, to verify them with", "none")
    card = load_card(objects, model)
    view = view_onto(card, space.name)
    if card.fingerprint != by["fingerprint"]:
        raise _strange(file, by, f"vectors by model {model} ({card.fingerprint[:12]})", by["fingerprint"][:12])
    if by.get("view") != str(view):
        raise _strange(file, by, f"vectors in the view {view} onto {space.name}", by.get("view", "none"))
    if space.metric != "cosine":
        raise BadInput(
            file,
            expected="vectors by the encoder that filled the gallery: it is searched by inner product",
            found=f"vectors of length 1 by {model}",
            hint="Lengths of two encoders do not compare.",
        )
    return RowOrigin(model, card.fingerprint)


def _refuse_other_space(file: Address, by: Mapping[str, str], space: Space) -> None:
    there = by.get("space", by.get("model", ""))
    if there != space.name:
        raise BadInput(
            file,
            expected=f"vectors in space {space.name}",
            found=f"vectors by {by.get('model')} ({by['fingerprint'][:12]}) in space {there}",
            hint=f"Encode the items with {space.name}, or with a model that has a view onto it: "
            f"skipfill encode {by.get('model')} ITEMS.parquet -o FILE.parquet --onto {space.name}",
        )


def _strange(file: Address, by: Mapping[str, str], expected: str, found: str) -> BadInput:
    again = f"skipfill encode {by.get('model')} ITEMS.parquet -o FILE.parquet --onto {by.get('space')}"
    return BadInput(file, expected=expected, found=found, hint=f"Encode the items with a model of this store: {again}")
