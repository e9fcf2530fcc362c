"""Temporary files and folders, removed when their work is done, or when the process is ended early."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_paths: set[Path] = set()


@contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """Remove the file or folder `path`, which the block makes, when the block ends."""
    _paths.add(path)  # before it is there: a signal may come at any moment
    try:
        yield path
    finally:
        _remove(path)
        _paths.discard(path)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make an empty folder for temporary files that no other user can read. It is removed at the end of the block."""
    import secrets
    import tempfile

    with temporary(Path(tempfile.gettempdir(), f"skipfill-{secrets.token_hex(8)}")) as folder:
        folder.mkdir(mode=0o700)
        yield folder


def remove_temporaries() -> None:
    """Remove the files and folders that no block has removed yet, as far as possible."""
    for path in list(_paths):
        _remove(path)


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_paths.clear)  # a child must not remove the files of its parent
