"""More rows for a registered gallery: a new version whose file list is the old one and the new files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from skipfill.store.errors import BadInput, Stale
from skipfill.store.galleries.file_list import commit_files, list_digest
from skipfill.store.galleries.gallery import Gallery, open_gallery
from skipfill.store.galleries.log import Version, latest
from skipfill.store.galleries.origin import row_origin
from skipfill.store.galleries.verify import Progress, verified_contents
from skipfill.store.parquet.files import expand_addresses
from skipfill.store.parquet.fingerprint import FileFingerprint, fingerprint
from skipfill.store.parquet.stored_rows import StoredRows
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

    The space's own model made them, or a later one in its view onto that space: then the gallery becomes a mixed one.

    The release stays; the state that checks measured does not. A rollback keeps the rows.

    Args:
        reason: recorded in the history.
        progress: called with the number of new rows verified since the last call.
        dry_run: verify everything and write nothing.

    Raises:
        BadInput: vectors of another space, an id that the gallery or another of these rows has, or unusable files;
            nothing has been written.
        Stale: a registered file is another one now, or another change was first.
    """
    gallery = open_gallery(objects, name)
    files = expand_addresses(paths)
    _refuse_registered(gallery, files)
    origins = {file: row_origin(objects, file, gallery.space) for file in files}
    rows = _opened(gallery, files)
    contents = verified_contents(
        rows,
        progress,
        of_length_one=[file for file in files if gallery.space.fingerprint or origins[file].fingerprint],
        beside=tuple(gallery.rows.files),
    )
    new_files = [
        replace(fingerprint(file, objects.base), content=contents[file], model=made.model, encoder=made.fingerprint)
        for file, made in origins.items()
    ]
    version = _appended(objects, gallery, new_files, rows.count, reason)
    if not dry_run:
        version = commit_files(objects, name, version, [*gallery.files, *new_files], gallery.space)
    everything = StoredRows.open([*gallery.rows.files, *files], rows.columns, rows.dim)
    return Gallery(name, version, gallery.space, [*gallery.files, *new_files], everything)


def _refuse_registered(gallery: Gallery, files: list[Address]) -> None:
    registered = {_resolved(path) for path in gallery.rows.files}
    for file in files:
        if _resolved(file) in registered:
            raise BadInput(file, expected=f"a file that is not in gallery {gallery.name} yet", found="one that is")


def _opened(gallery: Gallery, files: list[Address]) -> StoredRows:
    rows = StoredRows.open(files, gallery.rows.columns, gallery.space.dim)
    if rows.id_kind != gallery.rows.id_kind:
        raise BadInput(
            files[0],
            expected=f"ids of type {gallery.rows.id_kind}, as in gallery {gallery.name}",
            found=str(rows.id_kind),
        )
    return rows


def _resolved(file: Address) -> Address:
    return file if isinstance(file, Url) else file.resolve()


def _appended(
    objects: ObjectStore, gallery: Gallery, new_files: list[FileFingerprint], rows: int, reason: str
) -> Version:
    """Make the version to append. It follows the newest one: a swap while the rows were read is kept.

    Raises:
        Stale: other rows came meanwhile, so that the ids were not compared with theirs.
    """
    now = latest(objects, gallery.name)
    if now.files != gallery.version.files:
        raise Stale(
            f"gallery {gallery.name}: version {now.number} was {now.action} by {now.by} at {now.at}, while the new "
            "rows were read",
            "Run the same command again.",
        )
    return replace(
        now,
        number=now.number + 1,
        action="appended",
        files=list_digest([*gallery.files, *new_files]),
        rows=now.rows + rows,
        reason=reason,
        plan="",
    )
