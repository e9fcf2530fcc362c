"""The local copies of this user, for all stores: of the rows of galleries, and of overlays. They can be made again."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from skipfill.store.storage.cache_folder import GALLERIES, OVERLAYS, CachedFile, cache_folder, files_in


@dataclass(frozen=True)
class CachedCopies:
    """The copies, finished or not.

    Attributes:
        folder: of all of them; empty where this user has no home.
    """

    folder: str
    files: int
    bytes: int


def cached_copies(*, remove: bool = False) -> CachedCopies:
    """The copies and the room that they take.

    Args:
        remove: remove them, and say which could be removed. A command that reads from one goes on.
    """
    try:
        folder = cache_folder()
    except RuntimeError:
        return CachedCopies("", 0, 0)
    files = [file for kind in (GALLERIES, OVERLAYS) for file in files_in(cache_folder(kind))]
    if remove:
        files = [file for file in files if _removed(file)]
    return CachedCopies(str(folder), len(files), sum(file.bytes for file in files))


def _removed(file: CachedFile) -> bool:
    with suppress(OSError):
        file.path.unlink()
        return True
    return False
