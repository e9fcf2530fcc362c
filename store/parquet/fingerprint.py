"""Fingerprints that tell one state of a Parquet file from another, without reading its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from skipfill.store.parquet.files import open_parquet
from skipfill.store.parquet.remote import RemoteFile
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
        content: SHA-256 of the ids, vectors and labels, read when the file was registered; empty where only the
            footer was looked at.
        etag: on object storage, its name of this state of the file.
        model: name of the model that made the vectors, in its view onto the gallery's space; empty for the space's
            own model.
        encoder: fingerprint of that model; empty where `model` is.
    """

    path: str
    bytes: int
    rows: int
    footer: str
    content: str = ""
    etag: str = ""
    model: str = ""
    encoder: str = ""

    @property
    def of_footer(self) -> FileFingerprint:
        """The part that can be compared without reading rows or knowing who made them."""
        return replace(self, content="", model="", encoder="")


def fingerprint(path: Address, relative_to: Path | None) -> FileFingerprint:
    """Take size, row count and footer hash of a Parquet file; reads the footer only.

    Args:
        relative_to: folder that the path is relative to when it lies below; None for an absolute one.
    """
    rows = open_parquet(path).metadata.num_rows
    if isinstance(path, Url):
        remote = RemoteFile(path)
        return FileFingerprint(str(path), remote.size, rows, _footer_hash(remote), etag=remote.etag)
    with path.open("rb") as file:
        footer = _footer_hash(file)
    absolute = path.resolve()
    base = relative_to and relative_to.resolve()
    shown = absolute.relative_to(base) if base and absolute.is_relative_to(base) else absolute
    return FileFingerprint(str(shown), path.stat().st_size, rows, footer)


def current_fingerprint(registered: FileFingerprint, path: Address, relative_to: Path | None) -> FileFingerprint | None:
    """Take the fingerprint of a registered file as it is now; None where it is gone.

    It equals `registered.of_footer` where the file is unchanged. On object storage an unchanged etag answers for the
    footer: one request a file.
    """
    if isinstance(path, Url):
        try:
            remote = RemoteFile(path)
        except FileNotFoundError:
            return None
        if remote.etag and (remote.etag, remote.size) == (registered.etag, registered.bytes):
            return registered.of_footer
    elif not path.exists():
        return None
    return fingerprint(path, relative_to)


def _footer_hash(file: IO[bytes] | RemoteFile) -> str:
    file.seek(-8, 2)
    length = int.from_bytes(file.read(4) or b"", "little")
    file.seek(-8 - length, 2)
    return hashlib.sha256(file.read(length) or b"").hexdigest()


@dataclass(frozen=True)
class RowsBy:
    """Rows of a gallery that one model made.

    Attributes:
        model: its name; the name of the space for the space's own model or an encoder known only by its vectors.
        fingerprint: of that model; empty for an encoder known only by its vectors.
        rows: how many they are.
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
