"""Writes a bundle to one file, and adds it to another store; every hash is verified before anything is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from skipfill.store.errors import Advice, BadInput, Parameter, reason
from skipfill.store.models.admissible import refuse_content
from skipfill.store.models.archive import Archive, packed
from skipfill.store.models.cards import (
    TRAINED_IDS,
    WEIGHTS,
    Card,
    card_from,
    file_key,
    has_model,
    load_card,
    put_card,
    refuse_taken,
    space_of,
    taken_meanwhile,
)
from skipfill.store.models.files import read_file
from skipfill.store.spaces import (
    Space,
    ensure_space,
    load_space,
    refuse_another_space,
    register_space,
    space_document,
    space_from,
    space_names,
)
from skipfill.store.storage.address import to_see_instead
from skipfill.store.storage.layout import valid_name
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.storage.output_file import new_file
from skipfill.store.storage.quarantine import ensure
from skipfill.store.strict_json import LARGEST_STORED, json_digest, parsed, refuse_newer

Trial = Callable[[Path, Card], None]
FORMAT = 1
MANIFEST = "bundle.json"


@dataclass(frozen=True)
class Manifest:
    """The first entry of the file.

    Attributes:
        card: of the model; it has the hash of each file that follows.
        spaces: those that the model has a view onto, except its own: a name alone does not say which space it is.
    """

    card: Card
    spaces: list[Space]

    def as_json(self) -> bytes:
        content = {"format": FORMAT, "card": asdict(self.card), "spaces": [space_document(one) for one in self.spaces]}
        return json.dumps({**content, "digest": json_digest(content)}, indent=1).encode()

    def named(self, name: str) -> Manifest:
        """The same model under another name.

        Raises:
            BadInput: the model has a view onto a space of this name.
        """
        if name == self.card.name:
            return self
        if valid_name("model", name) in self.card.views:
            raise BadInput(Parameter("name"), expected="a name that no space of the bundle has", found=repr(name))
        views = {(name if space == self.card.name else space): view for space, view in self.card.views.items()}
        return replace(self, card=replace(self.card, name=name, views=views))


@dataclass(frozen=True)
class Added:
    """Result of adding a bundle.

    Attributes:
        manifest: the manifest of the model under its name here.
        new: False when the very same model was there already.
    """

    manifest: Manifest
    new: bool


def export_bundle(objects: ObjectStore, name: str, output: Path) -> Manifest:
    """Write model `name` to one file; the same bytes every time. The file appears whole or not at all.

    Raises:
        BadInput: no such model, a damaged one, or an output that exists or cannot be written to.
    """
    card = load_card(objects, name)
    manifest = Manifest(card, [_space(objects, space) for space in card.views if space != name])
    with new_file(output) as file:
        file.writelines(packed(_contents(objects, manifest)))
    return manifest


def add_bundle(objects: ObjectStore, path: Path, name: str = "", *, trial: Trial, dry_run: bool = False) -> Added:
    """Register the model in file `path`. None of its code runs, now or later, unless the user names it.

    Args:
        name: the model's name here; empty for its own.
        trial: tries a bundle that is not there already, before anything is written.
        dry_run: verify everything and write nothing.

    Raises:
        BadInput: not a bundle, content that differs from its hashes or card, a failed trial, another model or space
            of its name, or a view onto a space that is a different one here. Nothing has been written.
        Stale: another writer took the name meanwhile.
    """
    manifest = verified_export(path)
    manifest = manifest.named(name or manifest.card.name)
    card = manifest.card
    for space in manifest.spaces:
        _refuse_another(objects, space)
    if has_model(objects, card.name):
        return _same_model(objects, manifest)
    _refuse_another(objects, card.space)
    trial(path, card)
    if dry_run:
        return Added(manifest, True)
    for file, data in bundle_files(path):
        objects.replace(file_key(card, file), data)  # named by content: what a killed run left is the same, or damaged
    for space in manifest.spaces:
        register_space(objects, space)
    if not put_card(objects, card):
        if load_card(objects, card.name) != card:
            raise taken_meanwhile(card.name)
        return Added(manifest, False)
    if any(not objects.exists(file_key(card, file)) for file in card.files):
        for file, data in bundle_files(path):
            ensure(objects, file_key(card, file), data)
    for space in manifest.spaces:
        ensure_space(objects, space)
    return Added(manifest, True)


def verified_export(path: Path) -> Manifest:
    """Read and verify the whole of an exported bundle, one entry in memory at a time, and return its manifest.

    Raises:
        BadInput: see `add_bundle`.
    """
    for _, _ in bundle_files(path):
        pass
    with _opened(path) as archive:
        return _manifest(archive, path)


def _same_model(objects: ObjectStore, manifest: Manifest) -> Added:
    if load_card(objects, manifest.card.name) != manifest.card:
        refuse_taken(objects, manifest.card.name)
    return Added(manifest, False)


def _space(objects: ObjectStore, name: str) -> Space:
    """Read the space of this name. The card of its model may know more about it than was registered."""
    space = space_of(objects, name)
    _refuse_another(objects, space)
    return space


def _refuse_another(objects: ObjectStore, space: Space) -> None:
    if space.name in space_names(objects):
        refuse_another_space(load_space(objects, space.name), space)
    if has_model(objects, space.name):
        refuse_another_space(load_card(objects, space.name).space, space)


def _contents(objects: ObjectStore, manifest: Manifest) -> Iterator[tuple[str, bytes]]:
    yield MANIFEST, manifest.as_json()
    for file in sorted(manifest.card.files):
        yield file, read_file(objects, manifest.card, file)


def bundle_files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Each file of the bundle, verified against the card and its name."""
    with _opened(path) as archive:
        card = _manifest(archive, path).card
        for file in sorted(card.files):
            data = archive.entry(file)
            digest, where = hashlib.sha256(data).hexdigest(), f"{path}, {file}"
            if digest != card.files[file]:
                raise BadInput(where, expected=f"SHA-256 {card.files[file][:12]}...", found=f"{digest[:12]}...")
            refuse_content(file, data, where)
            yield file, data
        archive.end()


def _manifest(archive: Archive, path: Path) -> Manifest:
    where = f"{path}, {MANIFEST}"
    raw = parsed(archive.entry(MANIFEST, LARGEST_STORED), where, LARGEST_STORED)
    refuse_newer(raw, where, "bundle", FORMAT)
    complete = isinstance(raw, dict) and raw.keys() == {"format", "card", "spaces", "digest"}
    if not complete or raw["format"] != FORMAT or not isinstance(raw["spaces"], list):
        raise BadInput(where, expected="a format, a card, spaces and a digest", found="something else")
    made = Manifest(card_from(raw["card"], where), [space_from(one, where) for one in raw["spaces"]])
    if raw.pop("digest") != json_digest(raw):
        raise BadInput(where, expected="what was exported", found="something that was edited")
    _refuse_incomplete(made, where)
    return made


def _refuse_incomplete(manifest: Manifest, where: str) -> None:
    card = manifest.card
    for file in (WEIGHTS, TRAINED_IDS):
        if file not in card.files:
            raise BadInput(where, expected=f"a card that lists {file}", found="none")
    views, spaces = sorted({card.name, *card.views}), sorted([card.name, *(one.name for one in manifest.spaces)])
    if views != spaces:
        raise BadInput(where, expected=f"the spaces {', '.join(views)}", found=", ".join(spaces))


@contextmanager
def _opened(path: Path) -> Iterator[Archive]:
    try:
        if not path.is_file():
            raise BadInput(path, expected="an exported bundle", found="no such file", hint=to_see_instead(path))
        with path.open("rb") as file:
            if file.read(4) == b"PAR1":
                raise BadInput(path, expected="an exported bundle", found="a Parquet file", hint=Advice("export_first"))
            file.seek(0)
            yield Archive(file, path)
    except OSError as error:
        raise BadInput(path, expected="a bundle that can be read", found=reason(error)) from error
