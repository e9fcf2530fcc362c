"""Committing a version: the one write that changes what is in force, and the copy of it for services."""

from __future__ import annotations

import getpass
import json
import os
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from skipfill.store.errors import Advice, SkipfillError, Stale
from skipfill.store.galleries.log import FORMAT, RELEASES, WITHOUT_POLICY, Since, Version, has_version, read_version
from skipfill.store.storage.layout import release_copy_key, version_key
from skipfill.store.storage.object_store import ObjectStore


def commit(objects: ObjectStore, gallery: str, version: Version) -> Version:
    """Sign `version`, append it to the log, and then replace the copy in `release.json`.

    The first is the one write that decides anything.

    Raises:
        Stale: another writer appended this number first. Nothing was changed.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    needed = WITHOUT_POLICY if version.policy is None else FORMAT
    signed = replace(version, at=now, by=_user(), commit=uuid4().hex, format=needed)
    if version.action in RELEASES:
        signed = replace(signed, since=Since(signed.number, signed.at, signed.by))
    data = json.dumps(signed.as_document(), indent=1).encode()
    if not objects.put_new(version_key(gallery, version.number), data):
        other = read_version(objects, gallery, version.number)
        raise Stale(
            f"gallery {gallery}: another change was first: version {other.number} was {other.action} by {other.by} "
            f"at {other.at}",
            Advice("see_history", gallery=gallery),
        )
    _replace_copy(objects, gallery, signed)
    return signed


def _replace_copy(objects: ObjectStore, gallery: str, version: Version) -> None:
    """Replace the copy of the newest version, which serves whoever reads one file.

    The log is the truth. After a kill between the two writes the copy is out of date until the next commit. A failure
    here is not one of the commit, which has landed.
    """
    with suppress(SkipfillError, OSError):
        while True:
            # Services of older releases read it: it has what they know, and they need no policy.
            copied = replace(version, format=WITHOUT_POLICY).as_document()
            document = {"format": WITHOUT_POLICY, "gallery": gallery, "version": copied}
            objects.replace(release_copy_key(gallery), json.dumps(document, indent=1).encode())
            written = version.number
            while has_version(objects, gallery, version.number + 1):  # of others, whose copies may have been first
                version = read_version(objects, gallery, version.number + 1)
            if version.number == written:
                return


def _user() -> str:
    """Name of the user, or the number: containers often run under one that has no name."""
    try:
        return os.environ.get("USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
