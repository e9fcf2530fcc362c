"""Files that after a power cut hold their old or their new content, never half of it.

The content is written and flushed first, then the file gets its name. Until then it is beside its place as
`NAME#DIGITS`, which the object store does not list.
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
    """Write a new file. Of several writers, one succeeds.

    Raises:
        FileExistsError: the file exists. It is not changed.
    """
    with _staged(path, data) as staged:
        name_new(staged, path)


def replace(path: Path, data: bytes) -> None:
    """Write a file, new or not."""
    with _staged(path, data) as staged:
        staged.replace(path)


def name_again(path: Path, to: Path) -> None:
    """Give a file a new name that no file has yet. It may keep its old name as well.

    Raises:
        FileExistsError: a file has the new name. Nothing is changed.
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
    """Write `data` durably to a temporary file beside `path`, which is removed at the end of the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary(path.with_name(f"{path.name}#{secrets.randbits(60)}")) as staged:
        with staged.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield staged
