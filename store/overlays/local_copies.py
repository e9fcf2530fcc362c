"""Local copies of large overlay files, mapped into memory: named by content, safe to delete, bounded.

They are in the user's cache folder, `$XDG_CACHE_HOME/skipfill/overlays`. If that folder or the disk space is missing,
the vectors are kept in memory instead.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from skipfill.store.overlays.part import Part
from skipfill.store.storage.cache_folder import OVERLAYS, cache_folder, made_folder, mark_used, remove_oldest
from skipfill.store.storage.durable_files import replace

LARGEST_IN_MEMORY = 2**24
"""Files of at most this many bytes have no copy."""
MOST_BYTES = 2**35
"""Most bytes of all copies together; the least recently used are removed first."""


def mapped(name: str, make: Callable[[], Part]) -> Part:
    """The part with a name that its content decides, from its copy. A missing copy is made first."""
    try:
        path = copies_folder() / name
        with suppress(OSError, pa.ArrowException):
            return _opened(path)
    except (OSError, RuntimeError):  # this user has no home
        return make()
    part = make()
    try:
        made_folder(path.parent)
        replace(path, part.as_file())
        remove_oldest(path.parent, MOST_BYTES)
        return _opened(path)
    except (OSError, pa.ArrowException):
        return part


def copies_folder() -> Path:
    """The folder of the copies.

    Raises:
        RuntimeError: this user has no home.
    """
    return cache_folder(OVERLAYS)


def _opened(path: Path) -> Part:
    part = Part.mapped(path)
    mark_used(path)
    return part
