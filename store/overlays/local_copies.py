"""Local copies of large overlay files, mapped into memory: named by content, safe to delete, bounded.

They are in the user's cache folder, `$XDG_CACHE_HOME/skipfill/overlays`. If that folder or the disk space is missing,
the vectors are kept in memory instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from skipfill.store.overlays.part import Part
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
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace(path, part.as_file())
        _remove_oldest(path.parent)
        return _opened(path)
    except (OSError, pa.ArrowException):
        return part


def copies_folder() -> Path:
    """The folder of the copies.

    Raises:
        RuntimeError: this user has no home.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    cache = Path(given) if given.startswith("/") else Path.home() / ".cache"
    return cache / "skipfill" / "overlays"


def _opened(path: Path) -> Part:
    part = Part.mapped(path)
    with suppress(OSError):
        os.utime(path)
    return part


def _remove_oldest(folder: Path) -> None:
    """Keep the copies within their bound. One that is mapped stays readable without its name."""
    files = []
    for path in folder.iterdir():
        with suppress(OSError):
            status = path.stat()
            files.append((status.st_mtime, status.st_size, path))
    total = 0
    for _, size, path in sorted(files, reverse=True):
        total += size
        if total > MOST_BYTES:
            with suppress(OSError):
                path.unlink()
