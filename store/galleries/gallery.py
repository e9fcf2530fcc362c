"""A registered gallery opened as it is now: its version in force, its space, and its Parquet files, unchanged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from skipfill.store.errors import Advice, BadInput, Stale
from skipfill.store.galleries.file_list import read_files
from skipfill.store.galleries.log import RESTORE, Version, latest
from skipfill.store.parquet.digests.fingerprint import FileFingerprint, RowsBy, is_registered, rows_by
from skipfill.store.parquet.packed.cache import PackedCache, PackedFiles
from skipfill.store.parquet.pinned import AT_ONCE, PinnedFile, PinnedFiles
from skipfill.store.parquet.stored_rows import SCALE, VECTOR_TYPE, Columns, StoredRows
from skipfill.store.parquet.vectors import Numbers
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
        pins: the files, each fixed to the state in which it was opened.
        packed: local copies that rows are read from, where a cache is used.
    """

    name: str
    version: Version
    space: Space
    files: list[FileFingerprint]
    rows: StoredRows
    pins: PinnedFiles
    packed: PackedFiles | None = None

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


def open_gallery(objects: ObjectStore, name: str, cache: PackedCache | None = None) -> Gallery:
    """Open gallery `name` as it is now and compare its files with their fingerprints, without reading rows.

    Args:
        cache: for passes over the rows; None for none.

    Raises:
        BadInput: no gallery of this name, or its part of the store is damaged.
        Stale: it was dropped, or a file changed, moved or vanished since it was registered.
    """
    version = latest(objects, name)
    files = read_files(objects, name, version)
    space = load_space(objects, version.space)
    columns = registered_columns(name, version)
    listed = sum(file.rows for file in files)
    if version.rows != listed:
        raise BadInput(
            f"gallery {name}", expected=f"{version.rows:,} rows", found=f"{listed:,} in its files", hint=RESTORE
        )
    pins = PinnedFiles()
    refuse_changed_files(objects, name, files, pins)
    paths = [registered_address(objects, file) for file in files]
    rows = StoredRows.open(paths, columns, space.dim, pins)
    packed = None if cache is None else PackedFiles(rows, cache)
    return Gallery(name, version, space, files, rows if packed is None else packed.rows, pins, packed)


def refuse_changed_files(
    objects: ObjectStore,
    name: str,
    files: Sequence[FileFingerprint],
    open_file: Callable[[Address], PinnedFile] = PinnedFile,
) -> None:
    """Compare files with their fingerprints, by size and footer or etag: one request a file.

    Raises:
        Stale: one changed, moved or vanished since it was registered.
    """
    paths = [registered_address(objects, file) for file in files]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for file, path, found in zip(files, paths, pool.map(partial(_change, open_file), files, paths), strict=True):
            if found:
                raise Stale(
                    f"{path}: expected the file that gallery {name} was registered with ({file.rows} rows, "
                    f"{file.bytes} bytes), found {found}",
                    Advice("refresh_gallery", gallery=name),
                )


def _change(open_file: Callable[[Address], PinnedFile], registered: FileFingerprint, path: Address) -> str:
    """Describe what is at the path of a registered file; empty if it is that file."""
    try:
        file = open_file(path)
    except FileNotFoundError:
        return "no such file"
    if is_registered(file, registered):
        return ""
    return f"another one ({file.metadata.num_rows} rows, {file.state.bytes} bytes)"


def registered_columns(name: str, version: Version) -> Columns:
    """The columns of a gallery's files by their role, and how their vectors are read."""
    where, names = f"gallery {name} version {version.number}, columns", dict(version.columns)
    kind, scale = names.pop(VECTOR_TYPE, ""), names.pop(SCALE, None)
    try:
        numbers = Numbers.declared(kind, None if scale is None else float(scale))
    except (ValueError, BadInput) as error:
        found = f"{kind!r}, {scale!r}"
        raise BadInput(where, expected="a type of vectors and its scale", found=found, hint=RESTORE) from error
    return replace(fitted(Columns, names, where, {}), numbers=numbers)


def registered_address(objects: ObjectStore, file: FileFingerprint) -> Address:
    """The path or URL of a registered file."""
    return Url(file.path) if is_url(file.path) else (objects.base or Path()) / file.path
