"""The immutable list of a gallery's files and their fingerprints, which versions of the log refer to by its digest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace

from skipfill.store.errors import BadInput
from skipfill.store.galleries.commit import changed_meanwhile, commit
from skipfill.store.galleries.log import RESTORE, Action, Version
from skipfill.store.parquet.digests.fingerprint import FileFingerprint
from skipfill.store.spaces import Space, ensure_space
from skipfill.store.storage import quarantine
from skipfill.store.storage.layout import file_list_key
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.strict_json import LARGEST_STORED, fitted, parsed, refuse_newer

FORMAT = 2


@dataclass(frozen=True)
class FileList:
    """A file list as it is stored.

    Attributes:
        files: in the order of their rows.
        format: a list without a format is a plain list of files; one of format 1 does not say which model made a file.
    """

    files: list[FileFingerprint]
    format: int = FORMAT


def list_digest(files: list[FileFingerprint]) -> str:
    """SHA-256 of a file list as it is stored; it names the list."""
    return hashlib.sha256(_as_json(files)).hexdigest()


def read_files(objects: ObjectStore, gallery: str, version: Version) -> list[FileFingerprint]:
    """Read the file list of a version. Opens no Parquet.

    Raises:
        BadInput: it is gone or damaged.
    """
    key = file_list_key(gallery, version.files)
    where = objects.root / key
    try:
        data = quarantine.read(objects, key)
    except FileNotFoundError:
        data = b""
    if hashlib.sha256(data).hexdigest() != version.files:
        raise BadInput(where, expected="the file list that was registered", found="another, or none", hint=RESTORE)
    raw = parsed(data, where, LARGEST_STORED)
    refuse_newer(raw, where, "file list", FORMAT)
    return fitted(FileList, {"files": raw} if isinstance(raw, list) else raw, where, {}).files


def following(
    read: Version, now: Version, gallery: str, action: Action, files: list[FileFingerprint], reason: str
) -> Version:
    """Make the version that follows `now` with other files. A swap that was made while the rows were read is kept.

    Args:
        read: the version in force when reading of the rows began.

    Raises:
        Stale: other rows were added meanwhile, which the new rows were not compared with.
    """
    if now.files != read.files:
        raise changed_meanwhile(gallery, now)
    rows = sum(file.rows for file in files)
    return replace(
        now, number=now.number + 1, action=action, files=list_digest(files), rows=rows, reason=reason, plan=""
    )


def commit_files(
    objects: ObjectStore, gallery: str, version: Version, files: list[FileFingerprint], space: Space
) -> Version:
    """Write a file list, commit the version that refers to it, and make sure that list and space still exist.

    An existing list is written again, so that no prune takes it for a leftover of a killed run.

    Raises:
        Stale: see `commit`.
    """
    key = file_list_key(gallery, version.files)
    objects.replace(key, _as_json(files))
    committed = commit(objects, gallery, version)
    quarantine.ensure(objects, key, _as_json(files))
    ensure_space(objects, space)
    return committed


def _as_json(files: list[FileFingerprint]) -> bytes:
    return json.dumps(asdict(FileList(files))).encode()
