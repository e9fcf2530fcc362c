"""An overlay taken back to an earlier version, or dropped: one more entry in its log."""

from __future__ import annotations

from dataclasses import dataclass, replace

from skipfill.store.errors import Advice, BadInput, Parameter, Stale, minute
from skipfill.store.overlays.files import Gone, read_data
from skipfill.store.overlays.log import OverlayVersion, commit_entry, newest_entry, read_entry
from skipfill.store.storage import quarantine
from skipfill.store.storage.layout import overlay_file_key
from skipfill.store.storage.object_store import ObjectStore


@dataclass(frozen=True)
class OverlayChange:
    """A change of an overlay.

    Attributes:
        entry: the newest one after it.
        already: whether the overlay was in this state before, so that nothing was written.
    """

    entry: OverlayVersion
    already: bool


def roll_back_overlay(
    objects: ObjectStore, gallery: str, fingerprint: str, reason: str = "", to: int = 0
) -> OverlayChange:
    """Bring back the vectors of an earlier version, as a new one.

    Those of its files that are not in force now are read into memory, because a prune may be about to delete them.

    Args:
        to: number of that version; 0 for the one before the last addition.

    Raises:
        BadInput: there is no overlay or no such version, or its files were pruned.
        Stale: another change came first, or the last change is a rollback and `to` is not given.
    """
    now = _newest(objects, gallery, fingerprint)
    target = _target(objects, gallery, now, to)
    if target.files == now.files:
        return OverlayChange(now, already=True)
    in_force = {file.digest for file in now.files}
    data: dict[str, bytes] = {}
    for file in target.files:
        if file.digest not in in_force:
            try:
                data[overlay_file_key(gallery, fingerprint, file.digest)] = read_data(
                    objects, gallery, fingerprint, file
                )
            except Gone as gone:
                raise BadInput(
                    _named(gallery, now),
                    expected=f"the files of version {target.number}",
                    found="that they were pruned",
                    hint=Advice("add_to_overlay", gallery=gallery, model=now.model),
                ) from gone
    for key, content in data.items():
        objects.replace(key, content)
    number = now.number + 1
    entry = replace(
        target,
        number=number,
        action="rolled back",
        model=now.model,
        undo=now.number,
        taken_back=number,
        reason=reason,
    )
    committed = _committed(objects, gallery, entry)
    for key, content in data.items():
        quarantine.ensure(objects, key, content)
    return OverlayChange(committed, already=False)


def drop_overlay(objects: ObjectStore, gallery: str, fingerprint: str, reason: str = "") -> OverlayChange:
    """Drop an overlay. A rollback brings it back until prune removes its files.

    Raises:
        BadInput: there is no overlay.
        Stale: another change came first.
    """
    now = _newest(objects, gallery, fingerprint)
    if now.action == "dropped":
        return OverlayChange(now, already=True)
    number = now.number + 1
    entry = replace(now, number=number, action="dropped", files=[], undo=0, taken_back=number, reason=reason)
    return OverlayChange(_committed(objects, gallery, entry), already=False)


def _newest(objects: ObjectStore, gallery: str, fingerprint: str) -> OverlayVersion:
    now = newest_entry(objects, gallery, fingerprint)
    if now is None:
        found = f"none by the model {fingerprint[:12]}"
        raise BadInput(f"gallery {gallery}", expected="an overlay", found=found, hint=Advice("list_overlays"))
    return now


def _target(objects: ObjectStore, gallery: str, now: OverlayVersion, to: int) -> OverlayVersion:
    see = Advice("show_overlay", gallery=gallery, model=now.model)
    if not to and now.action == "rolled back":
        raise Stale(f"{_named(gallery, now)}: expected an addition to undo, found that {told(now)}", see)
    number = to or (now.number - 1 if now.action == "dropped" else now.undo)
    if not 1 <= number <= now.number:
        where = Parameter("to") if to else _named(gallery, now)
        expected = f"a version from 1 to {now.number}" if to else "an earlier version"
        raise BadInput(where, expected=expected, found=str(to) if to else f"none (version {now.number})", hint=see)
    return read_entry(objects, gallery, now.fingerprint, number)


def _committed(objects: ObjectStore, gallery: str, entry: OverlayVersion) -> OverlayVersion:
    committed = commit_entry(objects, gallery, entry)
    if committed is None:
        first = read_entry(objects, gallery, entry.fingerprint, entry.number)
        raise Stale(
            f"{_named(gallery, entry)} changed meanwhile: {told(first)}",
            Advice("show_overlay", gallery=gallery, model=entry.model),
        )
    return committed


def _named(gallery: str, entry: OverlayVersion) -> str:
    return f"overlay of gallery {gallery} by {entry.model or entry.fingerprint[:12]}"


def told(entry: OverlayVersion) -> str:
    """An entry in words: `version 7 by alice at 2026-01-31 12:00 UTC rolled back`."""
    return f"version {entry.number} by {entry.by} at {minute(entry.at)} {entry.action}"
