"""New versions of a gallery as they are committed, for services that follow its release."""

from __future__ import annotations

import time
from collections.abc import Iterator

from skipfill.store.galleries.log import Version, has_version, latest, read_version
from skipfill.store.storage.object_store import ObjectStore


def followed(objects: ObjectStore, gallery: str, every: float) -> Iterator[Version]:
    """Yield the version in force, then each one after it. Never ends; reads two small files at each look.

    Args:
        every: seconds from one look to the next.

    Raises:
        BadInput: there is no such gallery.
        Stale: it was dropped.
    """
    now = latest(objects, gallery)
    yield now
    while True:
        time.sleep(every)
        if not (has_version(objects, gallery, now.number) and read_version(objects, gallery, now.number) == now):
            now = latest(objects, gallery)  # dropped, and perhaps registered again
            yield now
        while has_version(objects, gallery, now.number + 1):
            now = read_version(objects, gallery, now.number + 1)
            yield now
