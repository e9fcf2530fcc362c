"""The overlays of a store, by gallery and model; and one of them by the name of its model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from skipfill.store.errors import Advice, BadInput, SkipfillError, unknown_name
from skipfill.store.galleries.log import RESTORE
from skipfill.store.overlays.add import first_of_each
from skipfill.store.overlays.files import read_rows
from skipfill.store.overlays.log import OverlayVersion, newest_entry, overlays_of, read_entry
from skipfill.store.storage.layout import OVERLAYS, overlay_file_key
from skipfill.store.storage.object_store import ObjectStore


@dataclass(frozen=True)
class NewestEntries:
    """The overlays of a store.

    Attributes:
        in_force: gallery and entry of each that was not dropped.
        faults: gallery and first digits of a fingerprint -> the reason why its newest entry cannot be read.
    """

    in_force: list[tuple[str, OverlayVersion]]
    faults: dict[str, SkipfillError]


def newest_entries(objects: ObjectStore) -> NewestEntries:
    """The newest entry of every overlay. A fault in one does not hide the others."""
    in_force: list[tuple[str, OverlayVersion]] = []
    faults: dict[str, SkipfillError] = {}
    for gallery in objects.children(OVERLAYS):
        for name in overlays_of(objects, gallery):
            try:
                entry = newest_entry(objects, gallery, name)
            except SkipfillError as fault:
                faults[f"{gallery} by {name[:12]}"] = fault
                continue
            if entry is not None and entry.action != "dropped":
                in_force.append((gallery, entry))
    return NewestEntries(in_force, faults)


def overlay_by(objects: ObjectStore, gallery: str, model: str, fingerprint: str = "") -> OverlayVersion:
    """The newest entry of the overlay of a gallery by a model, which may be a drop.

    Args:
        model: its name, or the beginning of its fingerprint.
        fingerprint: of the model of this name in the store; empty if there is none. Then the name under which the
            vectors were added counts.

    Raises:
        BadInput: there is none, or there are several by models of this name.
    """
    entries = [newest_entry(objects, gallery, name) for name in overlays_of(objects, gallery)]
    known = [entry for entry in entries if entry is not None]
    mine = [entry for entry in known if entry.fingerprint == fingerprint]
    found = mine or [entry for entry in known if entry.model == model or entry.fingerprint.startswith(model)]
    if len(found) > 1:
        names = ", ".join(entry.fingerprint[:12] for entry in found)
        raise BadInput(
            f"gallery {gallery}",
            expected=f"one overlay by {model}",
            found=f"{len(found)}, by models with the fingerprints {names}",
            hint="Give the beginning of a fingerprint instead of the name.",
        )
    if not found:
        names_there = [entry.model or entry.fingerprint[:12] for entry in known if entry.action != "dropped"]
        raise unknown_name(f"overlay of gallery {gallery}", model, names_there, Advice("list_overlays"))
    return found[0]


def overlay_history(objects: ObjectStore, gallery: str, fingerprint: str) -> list[OverlayVersion]:
    """Every entry of the log of an overlay, oldest first."""
    newest = newest_entry(objects, gallery, fingerprint)
    last = 0 if newest is None else newest.number
    return [read_entry(objects, gallery, fingerprint, number) for number in range(1, last + 1)]


def verify_overlay(
    objects: ObjectStore, gallery: str, entry: OverlayVersion, progress: Callable[[int], None] = lambda rows: None
) -> None:
    """Read the files of an overlay, compare them with their digests, and look for two vectors of one id and content.

    Args:
        progress: called with the number of rows read since the last call.

    Raises:
        BadInput, Stale: something is wrong with a file; the error names it.
    """
    ids, contents = [], []
    for file in entry.files:
        where = objects.root / overlay_file_key(gallery, entry.fingerprint, file.digest)
        these, digests, vectors = read_rows(objects, gallery, entry.fingerprint, file)
        if vectors.shape != (file.rows, entry.dim):
            expected, found = f"{file.rows} vectors of dimension {entry.dim}", f"a matrix of shape {vectors.shape}"
            raise BadInput(where, expected=expected, found=found, hint=RESTORE)
        ids.append(these)
        contents.append(digests)
        progress(len(these))
    if ids and not (first := first_of_each(pa.concat_arrays(ids), np.concatenate(contents))).all():
        row = int(np.flatnonzero(~first)[0])
        twice = pa.concat_arrays(ids)[row].as_py()
        raise BadInput(
            f"overlay of gallery {gallery} by {entry.model}",
            expected="one vector of each id and content",
            found=f"two of id {twice!r}",
            hint=RESTORE,
        )
