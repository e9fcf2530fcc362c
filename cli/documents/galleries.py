"""Documents of `skipfill gallery`."""

from __future__ import annotations

from dataclasses import dataclass

from skipfill.store.galleries.log import Version
from skipfill.store.galleries.row_marks import RowChanges
from skipfill.store.parquet.digests.fingerprint import FileFingerprint, RowsBy
from skipfill.store.spaces import Space


@dataclass(frozen=True)
class GalleryDocument:
    """A gallery as it is registered, or would be.

    Attributes:
        gallery: name of the gallery.
        version: the newest entry of its log, or the one that would be added.
        space: the space of its vectors.
        files: fingerprints of its files.
        rows_by: numbers of rows by the model that made them; more than one for a mixed gallery.
    """

    gallery: str
    version: Version
    space: Space
    files: list[FileFingerprint]
    rows_by: list[RowsBy]


@dataclass(frozen=True)
class RefreshedGalleryDocument(GalleryDocument):
    """A gallery after its files were registered again.

    Attributes:
        changed: whether a file had changed.
        row_changes: numbers of rows that were added, removed and changed; null where that is not known.
    """

    changed: bool
    row_changes: RowChanges | None


@dataclass(frozen=True)
class VerifiedGalleryDocument(GalleryDocument):
    """A gallery whose rows were all read and compared.

    Attributes:
        models: model -> a sentence that says whether it still encodes as it did.
    """

    models: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class NamedVersion(Version):
    """A gallery in a list: the newest entry of its log.

    Attributes:
        name: of the gallery.
    """

    name: str


@dataclass(frozen=True)
class GalleryListDocument:
    """The galleries of a store.

    Attributes:
        galleries: by name, those that can be read.
        faults: gallery whose log is damaged -> the reason.
    """

    galleries: list[NamedVersion]
    faults: dict[str, str]


@dataclass(frozen=True)
class DroppedGalleryDocument:
    """A gallery that was removed from the store.

    Attributes:
        gallery: its name.
        version: the entry of its log that says so.
    """

    gallery: str
    version: Version
