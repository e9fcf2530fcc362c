"""Documents of `skipfill overlay`."""

from __future__ import annotations

from dataclasses import dataclass

from skipfill.store.overlays.log import Action, OverlayFile, OverlayVersion


@dataclass(frozen=True)
class OverlayDocument:
    """An overlay: vectors by a newer model for some rows of a gallery.

    Attributes:
        gallery: name of the gallery.
        rows: number of its vectors.
        bytes: total size of its files.
        number: of this entry of its log.
        action: the change.
        model: name of the model that made the vectors; its fingerprint is what counts.
        fingerprint: of that model.
        dim: of the vectors; 0 when there is none.
        files: those in force. Later rows are newer.
        undo: number of the entry that a rollback brings back; 0 when there is none.
        taken_back: number of the last entry that took vectors away; 0 when none did.
        at, by: time (UTC, ISO 8601) and user of the change.
        reason: that the user gave.
        commit: unique for each attempt to write.
        format: of the entry.
    """

    gallery: str
    rows: int
    bytes: int
    number: int
    action: Action
    model: str
    fingerprint: str
    dim: int
    files: list[OverlayFile]
    undo: int
    taken_back: int
    at: str
    by: str
    reason: str
    commit: str
    format: int


@dataclass(frozen=True)
class OverlayHistoryDocument(OverlayDocument):
    """An overlay and its log.

    Attributes:
        versions: every entry of its log, the oldest first.
    """

    versions: list[OverlayVersion]


@dataclass(frozen=True)
class ChangedOverlayDocument(OverlayDocument):
    """An overlay that was rolled back or dropped.

    Attributes:
        already: whether it was in this state before, so that nothing was written.
    """

    already: bool


@dataclass(frozen=True)
class OverlayListDocument:
    """The overlays of a store.

    Attributes:
        overlays: those that can be read.
        faults: gallery and first digits of a fingerprint -> the reason why the log cannot be read.
    """

    overlays: list[OverlayDocument]
    faults: dict[str, str]
