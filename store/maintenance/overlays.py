"""Overlays in the diagnosis of a store and in its leftovers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from skipfill.store.errors import Advice
from skipfill.store.galleries.log import newest_version
from skipfill.store.maintenance.finding import Finding, tried
from skipfill.store.models.cards import load_card, model_names
from skipfill.store.overlays.listing import verify_overlay
from skipfill.store.overlays.log import OverlayVersion, commit_entry, newest_entry, overlays_of, read_entry
from skipfill.store.storage.layout import (
    OVERLAYS,
    is_name,
    overlay_file_key,
    overlay_folder,
    overlay_log_folder,
    version_file,
)
from skipfill.store.storage.object_store import ObjectStore


def kept_overlay_files(objects: ObjectStore, keys: list[str], *, orphans: bool) -> Iterator[str]:
    """The keys of the files that overlays need: those of the newest version, and those that a rollback brings back.

    If the log of an overlay is damaged, all its files are kept.

    Args:
        keys: of everything under the folder of overlays.
        orphans: keep the files of dropped galleries, too.
    """
    names = {tuple(key.split("/")[1:3]) for key in keys}
    for gallery, name in sorted(pair for pair in names if len(pair) == 2 and all(map(is_name, pair))):
        try:
            entry = newest_entry(objects, gallery, name)
            if entry is None or (not orphans and is_dropped(objects, gallery)):
                continue
            entries = [entry, *([read_entry(objects, gallery, name, entry.undo)] if entry.undo else [])]
            yield from (overlay_file_key(gallery, name, file.digest) for one in entries for file in one.files)
        except Exception:  # whatever is wrong with its log, or the gallery's
            yield from (key for key in keys if key.startswith(f"{overlay_folder(gallery, name)}/"))


def drop_orphans(objects: ObjectStore) -> None:
    """Drop the overlays of galleries that were dropped. One that changes at this moment is left for the next time."""
    for gallery in filter(is_name, objects.children(OVERLAYS)):
        if tried("", is_dropped, objects, gallery)[0]:
            for name in overlays_of(objects, gallery):
                entry, _ = tried("", newest_entry, objects, gallery, name)
                if entry is not None and entry.files:
                    following = replace(entry, number=entry.number + 1, action="dropped", files=[], undo=0)
                    commit_entry(objects, gallery, replace(following, reason="the gallery was dropped"))


def is_dropped(objects: ObjectStore, gallery: str) -> bool:
    """Whether there is no gallery of this name in force."""
    newest = newest_version(objects, gallery)
    return newest is None or newest.action == "dropped"


def overlay_findings(objects: ObjectStore, gallery: str, *, deep: bool) -> list[Finding]:
    """Look at the overlays of a gallery; at one that changes meanwhile, again: the findings may come from the change.

    Args:
        deep: read every file.
    """
    if tried("", is_dropped, objects, gallery)[0]:
        return []  # its files are among the leftovers
    found: list[Finding] = []
    for name in overlays_of(objects, gallery):
        before, _ = tried(name, newest_entry, objects, gallery, name)
        while findings := list(_of_overlay(objects, gallery, name, deep=deep)):
            after, _ = tried(name, newest_entry, objects, gallery, name)
            if after == before:
                break
            before = after
        found += findings
    return found


def _of_overlay(objects: ObjectStore, gallery: str, name: str, *, deep: bool) -> Iterator[Finding]:
    where = f"overlay of gallery {gallery} by {name[:12]}"
    entry, broken = tried(where, newest_entry, objects, gallery, name)
    yield from broken
    if entry is None:
        return
    folder = overlay_log_folder(gallery, name)
    expected = [version_file(number) for number in range(1, entry.number + 1)]
    strange = sorted(set(expected) ^ set(objects.children(folder)))
    if strange:
        what = f"expected versions 1 to {entry.number} and nothing else, found {strange[0]} missing or unexpected"
        yield Finding("problem", str(objects.root / folder), what, "Restore the log from a copy.")
    for file in () if deep else entry.files:
        key = overlay_file_key(gallery, name, file.digest)
        if not objects.exists(key):
            again = Advice("drop_and_add_overlay", gallery=gallery, model=entry.model or name[:12])
            yield Finding("problem", str(objects.root / key), "expected a file of the overlay, found none", again)
    if deep:
        yield from tried(where, verify_overlay, objects, gallery, entry)[1]
    if entry.files and not _has_model(objects, entry):
        what = f"its model {entry.model} ({entry.fingerprint[:12]}) is not in this store: nothing can use it"
        yield Finding("note", where, what, Advice("drop_overlay", gallery=gallery, model=entry.fingerprint[:12]))


def _has_model(objects: ObjectStore, entry: OverlayVersion) -> bool:
    if entry.model not in model_names(objects):
        return False
    card, _ = tried("", load_card, objects, entry.model)
    return card is None or card.fingerprint == entry.fingerprint
