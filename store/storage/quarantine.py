"""Sets objects aside before they are deleted: readers still find them, and they can be put back.

`prune` sets a leftover aside, looks again for references to it, and then deletes it or puts it back. A writer writes
the objects that its version refers to, commits, and then writes those again that are gone. Whichever of the two is
second sees the first: either the look finds the commit, or the writer finds the object gone. No lock is needed.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from skipfill.store.errors import SkipfillError
from skipfill.store.storage.layout import aside_key
from skipfill.store.storage.object_store import ObjectStore


def set_aside(objects: ObjectStore, key: str, written: datetime) -> bool:
    """Set `key` aside. If it is gone, or was written again since `written`, leave it where it is and return False."""
    if objects.modified(key) != written:
        return False
    if objects.move(key, aside_key(key)) == written:
        return True
    put_back(objects, key)  # it was written between the look and the move
    return False


def put_back(objects: ObjectStore, key: str) -> None:
    """Put `key` back, unless it was written again meanwhile."""
    objects.move_new(aside_key(key), key)


def read(objects: ObjectStore, key: str) -> bytes:
    """The bytes of `key`, at its place or aside.

    Raises:
        FileNotFoundError: no such object.
    """
    for place in (key, aside_key(key)):
        try:
            return objects.get(place)
        except FileNotFoundError:
            continue
    return objects.get(key)  # it may have been put back between the two


def ensure(objects: ObjectStore, key: str, data: bytes) -> None:
    """Write `key`, which a commit refers to, unless it is there."""
    with suppress(SkipfillError):  # a failure here is not a failure of the commit, which has landed
        if not objects.exists(key):
            objects.replace(key, data)
