"""Commits a version: the one write that changes what is in force, and then the copy of it for services."""

from __future__ import annotations

import getpass
import json
import os
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from skipfill.store.errors import Advice, SkipfillError, Stale, minute
from skipfill.store.galleries.log import RELEASES, Since, Version, has_version, read_version
from skipfill.store.storage.layout import release_copy_key, version_key
from skipfill.store.storage.object_store import ObjectStore


def commit(objects: ObjectStore, gallery: str, version: Version) -> Version:
    """Sign `version`, append it to the log, and then replace the copy in `release.json`.

    The append is the one write that decides anything.

    Raises:
        Stale: another writer appended this number first. Nothing was changed.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    signed = replace(version, at=now, by=user_name(), commit=uuid4().hex, format=version.needed_format)
    if version.action in RELEASES:
        signed = replace(signed, since=Since(signed.number, signed.at, signed.by))
    data = json.dumps(signed.as_document(), indent=1).encode()
    if not objects.put_new(version_key(gallery, version.number), data):
        raise changed_meanwhile(gallery, read_version(objects, gallery, version.number))
    _replace_copy(objects, gallery, signed)
    return signed


def changed_meanwhile(gallery: str, first: Version) -> Stale:
    """The error of a writer that lost a race: version `first` of the gallery was committed before its own."""
    return Stale(
        f"gallery {gallery} changed meanwhile: {told(first)}",
        Advice("look_and_run_again", gallery=gallery),
    )


def told(version: Version) -> str:
    """A version in words: `version 7 by alice at 2026-01-31 12:00 UTC swapped to v3`."""
    model = version.queries_use
    did = {
        "registered": "registered it",
        "appended": "appended rows",
        "refreshed": "refreshed its files",
        "swapped": f"swapped to {model}",
        "rolled back": f"rolled back to {model}",
        "dropped": "dropped it",
        "policy changed": "changed its policy",
    }[version.action]
    return f"version {version.number} by {version.by} at {minute(version.at)} {did}"


def _replace_copy(objects: ObjectStore, gallery: str, version: Version) -> None:
    """Replace the copy of the newest version, for services that read a single file.

    The log is the truth. After a kill between the two writes the copy is out of date until the next commit. A failure
    here is not a failure of the commit, which has landed.
    """
    with suppress(SkipfillError, OSError):
        while True:
            # Without the policy, which services do not need, the copy has a format that older releases can read.
            without_policy = replace(version, policy=None)
            needed = without_policy.needed_format
            copied = replace(without_policy, format=needed).as_document()
            document = {"format": needed, "gallery": gallery, "version": copied}
            objects.replace(release_copy_key(gallery), json.dumps(document, indent=1).encode())
            written = version.number
            # This copy may have replaced that of a later version, by another writer.
            while has_version(objects, gallery, version.number + 1):
                version = read_version(objects, gallery, version.number + 1)
            if version.number == written:
                return


def user_name() -> str:
    """Name of the user, or else the number: containers often run as a user without a name."""
    try:
        return os.environ.get("USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
