"""Galleries: Parquet files registered where they lie, verified whole before anything is written."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from skipfill.store import aside, ids
from skipfill.store.address import Address, Url, is_url
from skipfill.store.errors import BadInput, Stale
from skipfill.store.gallery_rows import Block, Columns, StoredRows
from skipfill.store.makers import made_by_another
from skipfill.store.names import valid_name
from skipfill.store.objects import Objects
from skipfill.store.parquet_files import FilePrint, encoded_by, expand_addresses, fingerprint, found_as
from skipfill.store.rows_by import RowsBy, rows_by
from skipfill.store.spaces import Space, ensure_space, load_space, register_space
from skipfill.store.strict_json import LARGEST_STORED, fitted, parsed, refuse_newer
from skipfill.store.versions import Release, Version, commit, latest, newest_version

Progress = Callable[[int], None]
FORMAT = 2
RESTORE = "Restore it from a copy."
ROUNDED = 0.01  # float16 moves lengths by less


@dataclass(frozen=True)
class FileList:
    """Attributes:
    files: in the order of their rows.
    format: lists without one are plain lists of files; those of format 1 do not say which model made a file.
    """

    files: list[FilePrint]
    format: int = FORMAT


@dataclass(frozen=True)
class Gallery:
    """A gallery as it is now: the version in force, the space of its vectors, and its rows."""

    name: str
    version: Version
    space: Space
    files: list[FilePrint]
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


def add_gallery(
    objects: Objects,
    name: str,
    paths: Sequence[Address],
    columns: Columns,
    space: Space,
    release: Release | None,
    progress: Progress = lambda rows: None,
    *,
    dry_run: bool = False,
) -> Gallery:
    """Register Parquet files as gallery `name`. The files are read whole once and never changed.

    It is version 1, or the next one of a gallery that was dropped.

    Args:
        space: what the vectors live in; a `dim` of 0 is taken from the files.
        release: what queries use from the start; None when no model for the space is at hand.
        progress: called with the number of rows verified since the last call.
        dry_run: verify everything and write nothing.

    Raises:
        BadInput: the name is taken, or the files are not a gallery; nothing has been written.
    """
    before = newest_version(objects, valid_name("gallery", name))
    if before is not None and before.action != "dropped":
        raise BadInput(
            f"gallery {name}",
            expected="a name that is free",
            found="a gallery of this name",
            hint=f"See it with: skipfill gallery show {name}",
        )
    files = expand_addresses(paths)
    rows = StoredRows.open(files, columns, space.dim or None)
    for file in files:
        _refuse_another_encoder(file, space)
    contents = read_whole(rows, progress, of_length_one=files if space.fingerprint else ())
    known = replace(space, dim=rows.dim)
    prints = [replace(fingerprint(file, objects.base), content=contents[file]) for file in files]
    number = 1 if before is None else before.number + 1
    version = Version(number, "registered", list_digest(prints), rows.count, known.name, columns.as_dict(), release)
    if dry_run:
        return Gallery(name, version, known, prints, rows)
    register_space(objects, known)
    return Gallery(name, commit_files(objects, name, version, prints, known), known, prints, rows)


def open_gallery(objects: Objects, name: str) -> Gallery:
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


def reread_gallery(objects: Objects, name: str, progress: Progress = lambda rows: None) -> Gallery:
    """Open the gallery and read it whole again: see `read_whole`, and every value as registered.

    Raises:
        Stale: a file's content is not what was registered, though its size and footer may be.
    """
    gallery = open_gallery(objects, name)
    contents = read_whole(gallery.rows, progress, of_length_one=gallery.of_length_one)
    for path, known in zip(gallery.rows.files, gallery.files, strict=True):
        if known.content and contents[path] != known.content:
            raise Stale(
                f"{path}: expected the ids, vectors and labels that gallery {name} was registered with, found others",
                "Put the registered file back, or register the new one under another name.",
            )
    return gallery


def drop_gallery(objects: Objects, name: str, reason: str = "") -> Version:
    """End gallery `name` by a last version of its log. History and the user's files stay; the name may be used again.

    Raises:
        Stale: it was dropped already, or another change was first.
    """
    now = latest(objects, name)
    last = replace(now, number=now.number + 1, action="dropped", release=None, undo=0, reason=reason, plan="")
    return commit(objects, name, last)


def read_whole(
    rows: StoredRows,
    progress: Progress,
    *,
    of_length_one: Collection[Address] = (),
    beside: Sequence[Address] = (),
) -> dict[Address, str]:
    """Read every row, refuse bad ids, dimensions, coordinates and lengths, and digest what is there, file by file.

    Args:
        of_length_one: files whose vectors must have this length.
        beside: files with the same columns, whose ids must be others; their rows were verified before.
    """
    with tempfile.TemporaryDirectory() as scratch:
        ids.refuse_bad_ids_in_files([*beside, *rows.files], rows.columns.id, rows.id_kind, Path(scratch))
    digests = {}
    for path in rows.files:
        digest = hashlib.sha256()
        for block in rows.file_blocks(path):
            if path in of_length_one:
                _refuse_other_lengths(path, block)
            digest.update(block.vectors.astype("<f4", copy=False).tobytes())
            for column in (block.ids, block.labels):
                digest.update(b"" if column is None else json.dumps(column.to_pylist()).encode())
            progress(len(block.ids))
        digests[path] = digest.hexdigest()
    return digests


def _refuse_other_lengths(path: Address, block: Block) -> None:
    """A model in the store makes vectors of length 1: others are not its own, or an index of products misranks them."""
    lengths = np.sqrt(np.einsum("nd,nd->n", block.vectors, block.vectors))
    wrong = np.flatnonzero(np.abs(lengths - 1) > ROUNDED)
    if len(wrong):
        raise BadInput(
            f"{path}, id {block.ids[int(wrong[0])].as_py()!r}",
            expected="a vector of length 1, as the space's model makes them",
            found=f"length {lengths[wrong[0]]:.4g}",
            hint="Register what `skipfill encode` wrote, or name another space with --space.",
        )


def _refuse_another_encoder(file: Address, space: Space) -> None:
    """A file that `skipfill encode` wrote says by which model: vectors of another one are not of this space."""
    if made_by_another(file, space):
        by = encoded_by(file)
        onto = f" in space {by['space']}" if "space" in by else ""
        raise BadInput(
            file,
            expected=f"vectors by model {space.name} ({space.fingerprint[:12]})",
            found=f"vectors by {by.get('model')} ({by['fingerprint'][:12]}){onto}",
            hint="Name the model that made them with --space. Rows in a later model's view are appended: "
            "skipfill gallery append",
        )


def list_digest(prints: list[FilePrint]) -> str:
    """The name of a file list: the digest of its content."""
    return hashlib.sha256(_listing(prints)).hexdigest()


def commit_files(objects: Objects, name: str, version: Version, prints: list[FilePrint], space: Space) -> Version:
    """Commit a version with a file list of its own.

    The list is written again if it is there: what a killed run left must not be pruned from under this one.

    Raises:
        Stale: see `commit`.
    """
    key = _files_key(name, version.files)
    objects.replace(key, _listing(prints))
    done = commit(objects, name, version)
    aside.ensure(objects, key, _listing(prints))
    ensure_space(objects, space)
    return done


def _listing(prints: list[FilePrint]) -> bytes:
    return json.dumps(asdict(FileList(prints))).encode()


def read_files(objects: Objects, name: str, version: Version) -> list[FilePrint]:
    """The file list of a version. Reads no Parquet.

    Raises:
        BadInput: it is gone or damaged.
    """
    key = _files_key(name, version.files)
    where = objects.root / key
    try:
        data = aside.read(objects, key)
    except FileNotFoundError:
        data = b""
    if hashlib.sha256(data).hexdigest() != version.files:
        raise BadInput(where, expected="the file list that was registered", found="another, or none", hint=RESTORE)
    raw = parsed(data, where, LARGEST_STORED)
    refuse_newer(raw, where, "file list", FORMAT)
    return fitted(FileList, {"files": raw} if isinstance(raw, list) else raw, where, {}).files


def _where(objects: Objects, file: FilePrint) -> Address:
    return Url(file.path) if is_url(file.path) else (objects.base or Path()) / file.path


def _files_key(gallery: str, digest: str) -> str:
    return f"galleries/{valid_name('gallery', gallery)}/files/{valid_name('file list', digest)}.json"
