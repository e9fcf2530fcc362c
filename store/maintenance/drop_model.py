"""Dropping a model: its bundle goes, unless a gallery needs it. The logs that name it stay."""

from __future__ import annotations

from dataclasses import dataclass

from skipfill.store.errors import Advice, BadInput, SkipfillError
from skipfill.store.galleries.log import Version, newest_versions
from skipfill.store.models.cards import Card, bundle_of, file_key, load_card
from skipfill.store.releases.release_log import releases_until
from skipfill.store.storage.layout import aside_key, card_key, model_folder
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.storage.quarantine import put_back, set_aside


@dataclass(frozen=True)
class Dropped:
    """A model that was dropped, or would be.

    Attributes:
        bytes: size of its bundle.
        no_way_back: gallery -> numbers of the versions that released it, which cannot be rolled back to any more. Empty
            if the same model is in the store under another name.
        same_as: that name; empty for none.
    """

    model: str
    bytes: int
    no_way_back: dict[str, list[int]]
    same_as: str = ""


def unused_models(objects: ObjectStore, cards: list[Card]) -> list[Card]:
    """Those of the models that no gallery's queries or rows need."""
    versions = newest_versions(objects).in_force
    return [card for card in cards if not any(_use(card, name, now) for name, now in versions.items())]


def bundle_bytes(objects: ObjectStore, name: str) -> int:
    """Size of the bundle of a model."""
    return sum(entry.bytes for entry in objects.entries(model_folder(name)))


def drop_model(objects: ObjectStore, name: str, *, dry_run: bool = False) -> Dropped:
    """Delete the bundle of a model.

    The card goes first: a kill leaves files without a card, which no command takes for a model, and prune removes them.

    Raises:
        BadInput: no such model; or a gallery's queries use it, or a gallery is in its space; or a log cannot be read.
    """
    card = load_card(objects, name)
    _refuse_used(objects, card)
    same = bundle_of(objects, card.fingerprint, other_than=name)
    dropped = Dropped(name, bundle_bytes(objects, name), {} if same else _no_way_back(objects, card), same)
    if dry_run:
        return dropped
    key = card_key(name)
    written = objects.modified(key)
    if written is None or not set_aside(objects, key, written):
        found = "one that changed meanwhile"
        raise BadInput(f"model {name}", expected="a model that no command is writing", found=found)
    try:
        _refuse_used(objects, card)  # a swap may have been first
    except SkipfillError:
        put_back(objects, key)
        raise
    objects.delete(aside_key(key))
    for file in card.files:
        objects.delete(file_key(card, file))
    return dropped


def _refuse_used(objects: ObjectStore, card: Card) -> None:
    galleries = newest_versions(objects)
    for gallery, fault in galleries.faults.items():
        expected = f"a log that says whether gallery {gallery} uses model {card.name}"
        raise BadInput(f"gallery {gallery}", expected=expected, found=str(fault), hint=Advice("see_doctor"))
    for gallery, now in galleries.in_force.items():
        use = _use(card, gallery, now)
        if use:
            raise BadInput(f"model {card.name}", expected="one that no gallery uses", found=use)


def _use(card: Card, gallery: str, now: Version) -> str:
    """The use of a model by a gallery, in words; empty for none."""
    if now.release is not None and now.release.fingerprint == card.fingerprint:
        return f"that queries of gallery {gallery} use it"
    if now.space == card.name:
        return f"that it made the vectors of gallery {gallery}: checks and blends there need it as the old model"
    return ""


def _no_way_back(objects: ObjectStore, card: Card) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for gallery, now in newest_versions(objects).in_force.items():
        numbers = [
            version.number
            for version in releases_until(objects, gallery, now)
            if version.release is not None and version.release.fingerprint == card.fingerprint
        ]
        if numbers:
            found[gallery] = sorted(numbers)
    return found
