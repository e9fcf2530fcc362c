"""Appends rows to a registered gallery: a new version that lists the old files and the new ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from skipfill.store.errors import Advice, BadInput
from skipfill.store.galleries.file_list import commit_files, following
from skipfill.store.galleries.gallery import Gallery, open_gallery
from skipfill.store.galleries.log import latest
from skipfill.store.galleries.origin import row_origin, rows_of_space
from skipfill.store.galleries.row_marks import write_marks
from skipfill.store.galleries.verify import Progress, read_files_whole
from skipfill.store.parquet.files import expand_addresses
from skipfill.store.parquet.stored_rows import StoredRows, opened
from skipfill.store.storage.address import Address, Url
from skipfill.store.storage.object_store import ObjectStore


def append_rows(
    objects: ObjectStore,
    name: str,
    paths: Sequence[Address],
    reason: str = "",
    progress: Progress = lambda rows: None,
    *,
    dry_run: bool = False,
) -> Gallery:
    """Add Parquet files with the same columns to gallery `name`. They are read whole once and never changed.

    Their vectors must be by the space's own model, or by a later one in its view onto that space: the gallery is then
    mixed.

    The release stays, but checks of the gallery without these rows no longer count. A rollback keeps the rows.

    Args:
        reason: recorded in the history.
        progress: called with the number of new rows verified since the last call.
        dry_run: verify everything and write nothing.

    Raises:
        BadInput: vectors of another space, an id that the gallery or another of these rows has, or unusable files;
            nothing has been written.
        Stale: a registered file changed, or another change came first.
    """
    gallery = open_gallery(objects, name)
    files = expand_addresses(paths)
    _refuse_registered(gallery, files)
    origins = {file: row_origin(objects, file, opened(gallery.pins, file), gallery.space) for file in files}
    rows = _opened(objects, gallery, files)
    read = read_files_whole(
        rows,
        gallery.pins,
        objects.base,
        progress,
        of_length_one=[file for file in files if gallery.space.fingerprint or origins[file].fingerprint],
        beside=tuple(gallery.rows.files),
    )
    new_files = [
        replace(read.fingerprints[file], model=made.model, encoder=made.fingerprint) for file, made in origins.items()
    ]
    all_files = [*gallery.files, *new_files]
    version = following(gallery.version, latest(objects, name), name, "appended", all_files, reason)
    if not dry_run:
        write_marks(objects, name, zip(new_files, read.marks.values(), strict=True))
        version = commit_files(objects, name, version, all_files, gallery.space)
    everything = replace(rows, files=[*gallery.rows.files, *files], count=version.rows)
    return Gallery(name, version, gallery.space, all_files, everything, gallery.pins)


def _refuse_registered(gallery: Gallery, files: list[Address]) -> None:
    registered = {_resolved(path) for path in gallery.rows.files}
    for file in files:
        if _resolved(file) in registered:
            raise BadInput(file, expected=f"a file that is not in gallery {gallery.name} yet", found="one that is")


def _opened(objects: ObjectStore, gallery: Gallery, files: list[Address]) -> StoredRows:
    another = Advice("register_another_gallery", gallery=gallery.name)
    rows = rows_of_space(objects, files, gallery.rows.columns, gallery.space, gallery.pins, another)
    if rows.id_kind != gallery.rows.id_kind:
        raise BadInput(
            files[0],
            expected=f"ids of type {gallery.rows.id_kind}, as in gallery {gallery.name}",
            found=str(rows.id_kind),
        )
    return rows


def _resolved(file: Address) -> Address:
    return file if isinstance(file, Url) else file.resolve()
