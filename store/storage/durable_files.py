"""Files that after a power cut hold their old or their new content, never half of it: content first, then the name.

While one is written it lies beside its place as `NAME#DIGITS`, which the object store's listings pass over.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skipfill.store.storage.new_name import name_new
from skipfill.store.storage.unfinished import temporary


def create(path: Path, data: bytes) -> None:
    """Write a new file; of several writers one succeeds.

    Raises:
        FileExistsError: there is one, which is left as it is.
    """
    with _staged(path, data) as staged:
        name_new(staged, path)


def replace(path: Path, data: bytes) -> None:
    """Write a file, new or not."""
    with _staged(path, data) as staged:
        staged.replace(path)


def name_again(path: Path, to: Path) -> None:
    """Give a file another name that nobody has; it may keep its first one as well.

    Raises:
        FileExistsError: somebody has it; nothing is changed.
    """
    to.parent.mkdir(parents=True, exist_ok=True)
    name_new(path, to)


def sync(path: Path, root: Path) -> None:
    """Flush a file and each folder above it up to `root`."""
    while True:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        if path == root:
            return
        path = path.parent


@contextmanager
def _staged(path: Path, data: bytes) -> Iterator[Path]:
    """Write `data` durably beside `path`, where the file is until it has its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary(path.with_name(f"{path.name}#{secrets.randbits(60)}")) as staged:
        with staged.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield staged
