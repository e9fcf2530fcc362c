"""Registers Parquet files as a gallery, and drops a gallery. Each is one entry of its log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from skipfill.store.errors import Advice, BadInput
from skipfill.store.galleries.commit import commit
from skipfill.store.galleries.file_list import commit_files, list_digest
from skipfill.store.galleries.gallery import Gallery
from skipfill.store.galleries.log import Version, latest, newest_version
from skipfill.store.galleries.origin import made_by_another, rows_of_space
from skipfill.store.galleries.row_marks import write_marks
from skipfill.store.galleries.verify import Progress, read_files_whole
from skipfill.store.models.release import Release
from skipfill.store.parquet.files import encoded_by, expand_addresses
from skipfill.store.parquet.pinned import PinnedFile, PinnedFiles
from skipfill.store.parquet.stored_rows import Columns
from skipfill.store.spaces import Space, register_space
from skipfill.store.storage.address import Address
from skipfill.store.storage.layout import valid_name
from skipfill.store.storage.object_store import ObjectStore


def add_gallery(
    objects: ObjectStore,
    name: str,
    paths: Sequence[Address],
    columns: Columns,
    space: Space,
    release: Release | None,
    progress: Progress = lambda rows: None,
    *,
    dry_run: bool = False,
) -> Gallery:
    """Register Parquet files as gallery `name`: version 1, or the next one of a gallery that was dropped.

    The files are read whole once and never changed.

    Args:
        space: the space of the vectors; a `dim` of 0 is taken from the files.
        release: the release that queries use from the start; None where there is no model for the space.
        progress: called with the number of rows verified since the last call.
        dry_run: verify everything and write nothing.

    Raises:
        BadInput: the name is taken, or the files cannot be searched; nothing has been written.
        Stale: a file changed while it was read; nothing has been written.
    """
    before = newest_version(objects, valid_name("gallery", name))
    if before is not None and before.action != "dropped":
        raise BadInput(
            f"gallery {name}",
            expected="a name that is free",
            found="a gallery of this name",
            hint=Advice("change_gallery", gallery=name),
        )
    files = expand_addresses(paths)
    pins = PinnedFiles()
    rows = rows_of_space(objects, files, columns, space, pins, Advice("name_space_of_another_dim"))
    for file in files:
        _refuse_another_encoder(file, pins(file), space)
    read = read_files_whole(rows, pins, objects.base, progress, of_length_one=files if space.fingerprint else ())
    space = replace(space, dim=rows.dim)
    registered = list(read.fingerprints.values())
    number = 1 if before is None else before.number + 1
    version = Version(
        number,
        "registered",
        list_digest(registered),
        rows.count,
        space.name,
        columns.as_dict(),
        release,
        policy=before.policy if before else None,  # dropping a gallery does not reset its policy
    )
    if dry_run:
        return Gallery(name, version, space, registered, rows, pins)
    register_space(objects, space)
    write_marks(objects, name, zip(registered, read.marks.values(), strict=True))
    return Gallery(name, commit_files(objects, name, version, registered, space), space, registered, rows, pins)


def drop_gallery(objects: ObjectStore, name: str, reason: str = "") -> Version:
    """End gallery `name` with a last version in its log. Its history and the user's files stay, its name is free again.

    Raises:
        Stale: it was dropped already, or another change came first.
    """
    now = latest(objects, name)
    last = replace(now, number=now.number + 1, action="dropped", release=None, undo=0, reason=reason, plan="")
    return commit(objects, name, last)


def _refuse_another_encoder(path: Address, file: PinnedFile, space: Space) -> None:
    """Raise `BadInput` if the metadata of a file name another model than that of `space`."""
    if made_by_another(path, file, space):
        by = encoded_by(path, file.schema_arrow)
        onto = f" in space {by['space']}" if "space" in by else ""
        raise BadInput(
            path,
            expected=f"vectors by model {space.name} ({space.fingerprint[:12]})",
            found=f"vectors by {by.get('model')} ({by['fingerprint'][:12]}){onto}",
            hint=Advice("name_space_or_append"),
        )
