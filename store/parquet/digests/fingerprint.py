"""Fingerprints that tell one state of a Parquet file from another, without reading its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from skipfill.store.parquet.pinned import PinnedFile
from skipfill.store.storage.address import Address, Url


@dataclass(frozen=True)
class FileFingerprint:
    """Properties that tell one state of a Parquet file from another.

    Attributes:
        path: URL of a file on object storage; of one on a disk the path, relative to the store's parent folder when
            below it, absolute elsewhere and where the store is on object storage.
        bytes: file size.
        rows: row count by its footer.
        footer: SHA-256 of the footer (row-group offsets, sizes and statistics).
        content: digest of the ids, vectors and labels, read when the file was registered; empty where only the
            footer was looked at. See `ContentDigest`.
        etag: on object storage, its name for this state of the file.
        model: name of the model that made the vectors, in its view onto the gallery's space; empty for the space's
            own model.
        encoder: fingerprint of that model; empty when `model` is empty.
    """

    path: str
    bytes: int
    rows: int
    footer: str
    content: str = ""
    etag: str = ""
    model: str = ""
    encoder: str = ""


def fingerprint(file: PinnedFile, relative_to: Path | None) -> FileFingerprint:
    """Take size, row count and footer hash of an opened Parquet file; reads the footer only.

    Args:
        relative_to: folder that the path is relative to when it lies below; None for an absolute one.
    """
    rows, footer = file.metadata.num_rows, file.footer_hash()
    return FileFingerprint(listed_path(file.path, relative_to), file.state.bytes, rows, footer, etag=file.etag)


def listed_path(path: Address, relative_to: Path | None) -> str:
    """The `path` of a fingerprint: one for all spellings of a file's path."""
    if isinstance(path, Url):
        return str(path)
    absolute = path.resolve()
    base = relative_to and relative_to.resolve()
    return str(absolute.relative_to(base) if base and absolute.is_relative_to(base) else absolute)


def is_registered(file: PinnedFile, registered: FileFingerprint) -> bool:
    """Tell whether an opened file has the size and footer of a registered one.

    On object storage an unchanged etag answers for the footer: one request a file.
    """
    if file.state.bytes != registered.bytes:
        return False
    if file.etag and file.etag == registered.etag:
        return True
    return file.footer_hash() == registered.footer


@dataclass(frozen=True)
class RowsBy:
    """Rows of a gallery that one model made.

    Attributes:
        model: its name; the name of the space for the space's own model or an encoder known only by its vectors.
        fingerprint: of that model; empty for an encoder known only by its vectors.
        rows: how many.
    """

    model: str
    fingerprint: str
    rows: int


def rows_by(model: str, fingerprint: str, files: Sequence[FileFingerprint]) -> list[RowsBy]:
    """Count the rows of these files by model, those of the space's own `model` first."""
    rows = {(model, fingerprint): 0}
    for file in files:
        maker = (file.model, file.encoder) if file.encoder else (model, fingerprint)
        rows[maker] = rows.get(maker, 0) + file.rows
    return [RowsBy(*maker, count) for maker, count in rows.items()]
