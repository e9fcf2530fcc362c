"""Galleries: Parquet files registered where they lie, verified whole before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from skipfill.store.errors import BadInput, Stale
from skipfill.store.galleries.file_list import RESTORE, read_files
from skipfill.store.galleries.log import Version, latest
from skipfill.store.parquet.fingerprint import FileFingerprint, RowsBy, found_as, rows_by
from skipfill.store.parquet.stored_rows import Columns, StoredRows
from skipfill.store.spaces import Space, load_space
from skipfill.store.storage.address import Address, Url, is_url
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.strict_json import fitted


@dataclass(frozen=True)
class Gallery:
    """A gallery as it is now: the version in force, the space of its vectors, and its rows."""

    name: str
    version: Version
    space: Space
    files: list[FileFingerprint]
    rows: StoredRows

    @property
    def rows_by(self) -> list[RowsBy]:
        """How many rows which model made; more than one for a mixed gallery."""
        return rows_by(self.space.name, self.space.fingerprint, self.files)

    @property
    def own_part(self) -> Gallery:
        """The same gallery, with only the files that the space's own model made."""
        own = [one for one in zip(self.files, self.rows.files, strict=True) if not one[0].encoder]
        files, paths = [file for file, _ in own], [path for _, path in own]
        count = sum(one.rows for one in files)
        return replace(self, files=files, rows=replace(self.rows, files=paths, count=count))

    @property
    def of_length_one(self) -> set[Address]:
        """The files that a model in the store made: its vectors have length 1."""
        files = zip(self.files, self.rows.files, strict=True)
        return {path for one, path in files if one.encoder or self.space.fingerprint}


def open_gallery(objects: ObjectStore, name: str) -> Gallery:
    """Gallery `name` as it is now, its files checked against their fingerprints.

    Raises:
        Stale: a file changed, moved or vanished since it was registered.
    """
    version = latest(objects, name)
    prints = read_files(objects, name, version)
    space = load_space(objects, version.space)
    columns = fitted(Columns, version.columns, f"gallery {name} version {version.number}, columns", {})
    listed = sum(one.rows for one in prints)
    if version.rows != listed:
        raise BadInput(
            f"gallery {name}", expected=f"{version.rows:,} rows", found=f"{listed:,} in its files", hint=RESTORE
        )
    paths = [_where(objects, one) for one in prints]
    for path, known in zip(paths, prints, strict=True):
        found = found_as(known, path, objects.base)
        if found != known.seen:
            raise Stale(
                f"{path}: expected the file that gallery {name} was registered with ({known.rows} rows, "
                f"{known.bytes} bytes), found "
                + ("no such file" if found is None else f"another one ({found.rows} rows, {found.bytes} bytes)"),
                "Put the registered file back, or register the new one under another name.",
            )
    return Gallery(name, version, space, prints, StoredRows.open(paths, columns, space.dim))


def _where(objects: ObjectStore, file: FileFingerprint) -> Address:
    return Url(file.path) if is_url(file.path) else (objects.base or Path()) / file.path
