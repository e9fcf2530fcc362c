"""A gallery's versions as they come, for services that follow its release."""

from __future__ import annotations

import time
from collections.abc import Iterator

from skipfill.store.galleries.log import Version, has_version, latest, read
from skipfill.store.storage.object_store import ObjectStore


def followed(objects: ObjectStore, gallery: str, every: float) -> Iterator[Version]:
    """The version in force, then each one after it. Never ends; reads two small files at each look.

    Args:
        every: seconds from one look to the next.

    Raises:
        BadInput: the gallery is not there, or no longer.
    """
    now = latest(objects, gallery)
    yield now
    while True:
        time.sleep(every)
        if not (has_version(objects, gallery, now.number) and read(objects, gallery, now.number) == now):
            now = latest(objects, gallery)  # dropped, and perhaps registered again
            yield now
        while has_version(objects, gallery, now.number + 1):
            now = read(objects, gallery, now.number + 1)
            yield now
