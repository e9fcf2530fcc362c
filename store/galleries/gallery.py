"""A registered gallery opened as it is now: its version in force, its space, and its Parquet files, unchanged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from skipfill.store.errors import BadInput, Stale
from skipfill.store.galleries.file_list import read_files
from skipfill.store.galleries.log import RESTORE, Version, latest
from skipfill.store.parquet.fingerprint import FileFingerprint, RowsBy, current_fingerprint, rows_by
from skipfill.store.parquet.stored_rows import Columns, StoredRows
from skipfill.store.spaces import Space, load_space
from skipfill.store.storage.address import Address, Url, is_url
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.strict_json import fitted


@dataclass(frozen=True)
class Gallery:
    """An opened gallery.

    Attributes:
        version: of the log, in force when the gallery was opened.
        space: the space of its vectors.
        files: fingerprints of its files as registered, in the order of `rows.files`.
        rows: its rows, to be streamed.
    """

    name: str
    version: Version
    space: Space
    files: list[FileFingerprint]
    rows: StoredRows

    @property
    def rows_by(self) -> list[RowsBy]:
        """Numbers of rows by the model that made them; more than one for a mixed gallery."""
        return rows_by(self.space.name, self.space.fingerprint, self.files)

    @property
    def own_part(self) -> Gallery:
        """The same gallery with only the files that the space's own model made."""
        own = [(file, path) for file, path in self._files_and_paths() if not file.encoder]
        files, paths = [file for file, _ in own], [path for _, path in own]
        count = sum(file.rows for file in files)
        return replace(self, files=files, rows=replace(self.rows, files=paths, count=count))

    @property
    def of_length_one(self) -> set[Address]:
        """The files whose vectors have length 1: those that a model in the store made."""
        return {path for file, path in self._files_and_paths() if file.encoder or self.space.fingerprint}

    def _files_and_paths(self) -> list[tuple[FileFingerprint, Address]]:
        return list(zip(self.files, self.rows.files, strict=True))


def open_gallery(objects: ObjectStore, name: str) -> Gallery:
    """Open gallery `name` as it is now and compare its files with their fingerprints, without reading rows.

    Raises:
        BadInput: no gallery of this name, or its part of the store is damaged.
        Stale: it was dropped, or a file changed, moved or vanished since it was registered.
    """
    version = latest(objects, name)
    files = read_files(objects, name, version)
    space = load_space(objects, version.space)
    columns = fitted(Columns, version.columns, f"gallery {name} version {version.number}, columns", {})
    listed = sum(file.rows for file in files)
    if version.rows != listed:
        raise BadInput(
            f"gallery {name}", expected=f"{version.rows:,} rows", found=f"{listed:,} in its files", hint=RESTORE
        )
    paths = [_address(objects, file) for file in files]
    for path, registered in zip(paths, files, strict=True):
        current = current_fingerprint(registered, path, objects.base)
        if current != registered.of_footer:
            raise Stale(
                f"{path}: expected the file that gallery {name} was registered with ({registered.rows} rows, "
                f"{registered.bytes} bytes), found "
                + ("no such file" if current is None else f"another one ({current.rows} rows, {current.bytes} bytes)"),
                "Put the registered file back, or register the new one under another name.",
            )
    return Gallery(name, version, space, files, StoredRows.open(paths, columns, space.dim))


def _address(objects: ObjectStore, file: FileFingerprint) -> Address:
    return Url(file.path) if is_url(file.path) else (objects.base or Path()) / file.path
