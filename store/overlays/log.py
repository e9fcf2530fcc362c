"""The log of an overlay: numbered entries, each with the files in force; the highest one is valid."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal
from uuid import uuid4

from skipfill.store.errors import BadInput, in_the_store
from skipfill.store.galleries.commit import user_name
from skipfill.store.galleries.log import RESTORE
from skipfill.store.storage.layout import OVERLAYS, overlay_log_folder, overlay_version_key, valid_name
from skipfill.store.storage.numbered import last_number
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.strict_json import stored

FORMAT = 1
Action = Literal["added", "compacted", "rolled back", "dropped"]


@dataclass(frozen=True)
class OverlayFile:
    """A file of vectors, named by the SHA-256 of its bytes."""

    digest: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class OverlayVersion:
    """An entry of the log: the state of the overlay after a change, and the change.

    Attributes:
        number: 1, 2, 3, ... without gaps.
        model: name of the model that made the vectors; its fingerprint is what counts.
        fingerprint: of that model, in full.
        dim: of the vectors; 0 when there is none.
        files: those in force. Later rows are newer.
        undo: number of the entry that a rollback brings back; 0 when there is none.
        taken_back: number of the last entry that took vectors away, by a rollback or a drop; 0 when none did.
        at, by: time (UTC, ISO 8601) and user of the change; empty before it is committed.
        reason: reason that the user gave.
        commit: unique for each attempt to write, so that a writer can recognise its own.
    """

    number: int
    action: Action
    model: str
    fingerprint: str
    dim: int
    files: list[OverlayFile]
    undo: int = 0
    taken_back: int = 0
    at: str = ""
    by: str = ""
    reason: str = ""
    commit: str = ""
    format: int = field(default=FORMAT)

    @property
    def rows(self) -> int:
        """Number of its vectors."""
        return sum(file.rows for file in self.files)


def read_entry(objects: ObjectStore, gallery: str, fingerprint: str, number: int) -> OverlayVersion:
    """Return entry `number` of the log of an overlay.

    Raises:
        BadInput: it is missing or damaged, of a newer format, or of another overlay.
    """
    key = overlay_version_key(gallery, fingerprint, number)
    where = objects.root / key
    try:
        with in_the_store():
            entry = stored(OverlayVersion, objects.get(key), where, what="overlay version", newest=FORMAT)
    except FileNotFoundError:
        raise BadInput(where, expected="every version of the log", found="no such file", hint=RESTORE) from None
    if entry.number != number or not 0 <= entry.undo < number:
        found = f"version {entry.number} (undo {entry.undo})"
        raise BadInput(where, expected=f"version {number}", found=found, hint=RESTORE)
    if not entry.fingerprint.startswith(fingerprint[:32]):
        raise BadInput(where, expected=f"vectors by the model {fingerprint}", found=entry.fingerprint, hint=RESTORE)
    return entry


def newest_entry(objects: ObjectStore, gallery: str, fingerprint: str, since: int = 0) -> OverlayVersion | None:
    """Return the last entry of the log of an overlay, which may be a drop; None where there is no log.

    Args:
        since: number of an entry that is known to exist; only later ones are looked for.
    """
    number = last_number(objects, overlay_log_folder(gallery, fingerprint), since)
    return read_entry(objects, gallery, fingerprint, number) if number else None


def commit_entry(objects: ObjectStore, gallery: str, entry: OverlayVersion) -> OverlayVersion | None:
    """Sign an entry and append it to the log; None, with nothing changed, if another writer came first."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    signed = replace(entry, at=now, by=user_name(), commit=uuid4().hex)
    data = json.dumps(asdict(signed), indent=1).encode()
    key = overlay_version_key(gallery, entry.fingerprint, entry.number)
    return signed if objects.put_new(key, data) else None


def overlays_of(objects: ObjectStore, gallery: str) -> list[str]:
    """The first 32 digits of the fingerprints of the models that a gallery has overlays by, dropped ones too."""
    return objects.children(f"{OVERLAYS}/{valid_name('gallery', gallery)}")
