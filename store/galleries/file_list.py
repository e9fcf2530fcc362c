"""The immutable list of a gallery's files and their fingerprints, which a version of the log refers to."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from skipfill.store.errors import BadInput
from skipfill.store.galleries.log import Version, commit
from skipfill.store.parquet.fingerprint import FileFingerprint
from skipfill.store.spaces import Space, ensure_space
from skipfill.store.storage import quarantine
from skipfill.store.storage.keys import file_list_key
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.strict_json import LARGEST_STORED, fitted, parsed, refuse_newer

FORMAT = 2


RESTORE = "Restore it from a copy."


@dataclass(frozen=True)
class FileList:
    """Attributes:
    files: in the order of their rows.
    format: lists without one are plain lists of files; those of format 1 do not say which model made a file.
    """

    files: list[FileFingerprint]
    format: int = FORMAT


def list_digest(prints: list[FileFingerprint]) -> str:
    """The name of a file list: the digest of its content."""
    return hashlib.sha256(_listing(prints)).hexdigest()


def commit_files(
    objects: ObjectStore, name: str, version: Version, prints: list[FileFingerprint], space: Space
) -> Version:
    """Commit a version with a file list of its own.

    The list is written again if it is there: what a killed run left must not be pruned from under this one.

    Raises:
        Stale: see `commit`.
    """
    key = file_list_key(name, version.files)
    objects.replace(key, _listing(prints))
    done = commit(objects, name, version)
    quarantine.ensure(objects, key, _listing(prints))
    ensure_space(objects, space)
    return done


def _listing(prints: list[FileFingerprint]) -> bytes:
    return json.dumps(asdict(FileList(prints))).encode()


def read_files(objects: ObjectStore, name: str, version: Version) -> list[FileFingerprint]:
    """The file list of a version. Reads no Parquet.

    Raises:
        BadInput: it is gone or damaged.
    """
    key = file_list_key(name, version.files)
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
