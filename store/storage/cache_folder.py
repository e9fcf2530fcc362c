"""The user's cache folder: copies that make commands faster, safe to delete at any time, and bounded in size."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

GALLERIES, OVERLAYS = "galleries", "overlays"
"""Kinds of copies: of the rows of galleries, and of vectors in overlays."""
YOUNG = 3_600
"""Seconds for which an unfinished copy is kept after its last change: its writer may still run."""


@dataclass(frozen=True)
class CachedFile:
    """A file in the cache folder.

    Attributes:
        used: when it was used last, in seconds since 1970.
    """

    path: Path
    bytes: int
    used: float

    @property
    def unfinished(self) -> bool:
        """Whether it is still being written, or its writer was killed: its name has a `#` until it is complete."""
        return "#" in self.path.name


def cache_folder(kind: str = "") -> Path:
    """The folder of this user's copies of a kind; of all copies for an empty one.

    Raises:
        RuntimeError: this user has no home.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    cache = Path(given) if given.startswith("/") else Path.home() / ".cache"
    return cache / "skipfill" / kind


def made_folder(path: Path) -> Path:
    """Make a folder of the cache, which only this user can read, if it is missing.

    Raises:
        OSError: it cannot be made.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def files_in(folder: Path) -> Iterator[CachedFile]:
    """The files of a folder of the cache; none where there is no such folder."""
    with suppress(OSError):
        for path in folder.iterdir():
            with suppress(OSError):
                status = path.stat()
                yield CachedFile(path, status.st_size, status.st_mtime)


def mark_used(path: Path) -> None:
    """Let a file count as used now."""
    with suppress(OSError):
        os.utime(path)


def remove_oldest(folder: Path, most_bytes: int) -> None:
    """Keep the files of a folder within a bound, and remove copies whose writer was killed.

    The least recently used are removed first. A file that is mapped into memory stays readable without its name.
    """
    total = 0
    for file in sorted(files_in(folder), key=lambda file: file.used, reverse=True):
        total += file.bytes
        if total > most_bytes or (file.unfinished and time.time() - file.used > YOUNG):
            with suppress(OSError):
                file.path.unlink()
