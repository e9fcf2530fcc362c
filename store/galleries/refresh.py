"""Registers the files of a gallery as they are now: a new version, after which earlier checks no longer count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from skipfill.store.errors import Advice
from skipfill.store.galleries.file_list import commit_files, following, read_files
from skipfill.store.galleries.gallery import Gallery, registered_address, registered_columns
from skipfill.store.galleries.log import latest
from skipfill.store.galleries.origin import row_origin, rows_of_space
from skipfill.store.galleries.row_marks import RowChanges, RowMarks, read_marks, write_marks
from skipfill.store.galleries.verify import Progress, read_files_whole
from skipfill.store.parquet.digests.fingerprint import FileFingerprint, listed_path
from skipfill.store.parquet.files import expand_addresses
from skipfill.store.parquet.pinned import PinnedFiles
from skipfill.store.parquet.stored_rows import opened
from skipfill.store.spaces import load_space
from skipfill.store.storage.address import Address
from skipfill.store.storage.object_store import ObjectStore


@dataclass(frozen=True)
class Refreshed:
    """A refreshed gallery.

    Attributes:
        gallery: the gallery after the refresh, or as it would be after it.
        changed: whether anything differs from what was registered. If not, nothing was written.
        rows: numbers of rows that came, went and changed; None if the marks of a file's rows were not kept, as by
            earlier releases.
    """

    gallery: Gallery
    changed: bool
    rows: RowChanges | None


def refresh_gallery(
    objects: ObjectStore,
    name: str,
    paths: Sequence[Address] = (),
    reason: str = "",
    progress: Progress = lambda rows: None,
    *,
    dry_run: bool = False,
) -> Refreshed:
    """Register the files of gallery `name` as they are now. They are read whole once and never changed.

    Release, space and columns stay. The metadata of a file say which model made it, as in `append_rows`.

    Args:
        paths: files to register instead of those that are registered; empty for the same ones.
        reason: recorded in the history.
        progress: called with the number of rows verified since the last call.
        dry_run: verify everything and write nothing.

    Raises:
        BadInput: unusable files or vectors of another space; nothing has been written.
        Stale: a file changed while it was read, or another change came first; nothing has been written.
    """
    version = latest(objects, name)
    registered = read_files(objects, name, version)
    space, pins = load_space(objects, version.space), PinnedFiles()
    files = expand_addresses(paths or [registered_address(objects, file) for file in registered])
    digests = {file.path: file.content for file in registered if file.content}
    origins = {file: row_origin(objects, file, opened(pins, file), space) for file in files}
    another = Advice("register_another_gallery", gallery=name)
    rows = rows_of_space(objects, files, registered_columns(name, version), space, pins, another)
    read = read_files_whole(
        rows,
        pins,
        objects.base,
        progress,
        of_length_one=[file for file in files if space.fingerprint or origins[file].fingerprint],
        like={file: digests[path] for file in files if (path := listed_path(file, objects.base)) in digests},
    )
    new_files = [
        replace(read.fingerprints[file], model=made.model, encoder=made.fingerprint) for file, made in origins.items()
    ]
    following_version = following(version, latest(objects, name), name, "refreshed", new_files, reason)
    changes = _changes(objects, name, registered, new_files, list(read.marks.values()))
    if new_files == registered:
        return Refreshed(Gallery(name, version, space, registered, rows, pins), False, changes)
    if not dry_run:
        write_marks(objects, name, zip(new_files, read.marks.values(), strict=True))
        following_version = commit_files(objects, name, following_version, new_files, space)
    return Refreshed(Gallery(name, following_version, space, new_files, rows, pins), True, changes)


def _changes(
    objects: ObjectStore,
    name: str,
    before: Sequence[FileFingerprint],
    after: Sequence[FileFingerprint],
    marks: Sequence[RowMarks],
) -> RowChanges | None:
    """Count the rows that came, went and changed since `before`; None if the marks of a file were not kept.

    Args:
        marks: marks of the files `after`. Files of `before` with the same content have the same marks.
    """
    by_content = {file.content: rows for file, rows in zip(after, marks, strict=True)}
    parts = [by_content.get(file.content) or read_marks(objects, name, file) for file in before]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return RowChanges.between(RowMarks.joined(known), RowMarks.joined(marks))
