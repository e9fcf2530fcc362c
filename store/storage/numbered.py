"""Finds the last number in a folder of objects that are numbered 1, 2, 3, ..., without listing all of them."""

from __future__ import annotations

from skipfill.store.storage.layout import version_file, version_number
from skipfill.store.storage.object_store import ObjectStore

NEAR = 100
"""Names within this distance of the end of a folder are listed instead of looked for one by one."""


def last_number(objects: ObjectStore, folder: str, since: int = 0) -> int:
    """Return the highest number in a folder; 0 if it is empty. Lists about `NEAR` names.

    Args:
        since: a number that is known to exist; only later ones are looked for.
    """
    low = since or _near_the_end(objects, folder)
    return max([low, *map(version_number, objects.after(folder, version_file(low)))])


def _near_the_end(objects: ObjectStore, folder: str) -> int:
    """Return a number less than `NEAR` before the last one; 0 if there are fewer than `NEAR`.

    The numbers have no gaps, so doubling steps find it. After a gap the result is farther from the end.
    """
    low, step = 0, NEAR
    while objects.exists(f"{folder}/{version_file(low + step)}"):
        low, step = low + step, 2 * step
    while step > NEAR:
        step //= 2
        low += step if objects.exists(f"{folder}/{version_file(low + step)}") else 0
    return low
