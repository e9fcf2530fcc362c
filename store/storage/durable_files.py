"""Files that after a power cut hold what they held or what was written, never half of it: content first, then the name.

While one is written it lies beside its place as `NAME#DIGITS`, which the object store's listings pass over.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def create(path: Path, data: bytes) -> None:
    """Write a new file; of several writers one succeeds.

    Raises:
        FileExistsError: there is one, which is left as it is.
    """
    staged = _staged(path, data)
    try:
        os.link(staged, path)
    finally:
        staged.unlink()


def replace(path: Path, data: bytes) -> None:
    """Write a file, new or not."""
    staged = _staged(path, data)
    try:
        staged.replace(path)
    except OSError:
        staged.unlink()
        raise


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


def _staged(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f"{path.name}#{secrets.randbits(60)}")
    try:
        with staged.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        staged.unlink(missing_ok=True)
        raise
    return staged
