"""A file of the user's that appears whole and durable, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from skipfill.store.errors import Advice, BadInput, reason


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file that appears at `path` when the block ends, and not at all when it fails.

    It has no name until then where the system can do so (Linux, most disks): a kill leaves nothing. Elsewhere a kill
    leaves a file `.NAME.part` with a random middle.

    Raises:
        BadInput: a file is there, at the start or by another writer meanwhile, or it cannot be written.
    """
    try:
        if path.exists():
            raise FileExistsError
        with _unnamed(path) as file:
            yield file
    except OSError as error:
        if not _about(error, path):
            raise
        if isinstance(error, FileExistsError):
            raise BadInput(
                path,
                expected="a file that does not exist yet",
                found="a file",
                hint=Advice("name_another_output"),
            ) from error
        raise BadInput(
            path.parent,
            expected="a folder that can be written to",
            found=reason(error),
            hint=Advice("choose_output_folder"),
        ) from error


def _about(error: OSError, path: Path) -> bool:
    """Tell whether an error is about the file or its folder, not about another one that was read to fill it."""
    name = error.filename2 or error.filename
    return not isinstance(name, str | os.PathLike) or path.parent in (Path(name), Path(name).parent)


@contextmanager
def _unnamed(path: Path) -> Iterator[BinaryIO]:
    try:
        part, handle = None, os.open(path.parent, os.O_TMPFILE | os.O_RDWR, 0o666)
    except (AttributeError, OSError):
        part = path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")
        handle = os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(handle)
            # A folder's handle, though the path is absolute, makes Python follow the link.
            os.link(part or f"/proc/self/fd/{handle}", path, src_dir_fd=handle)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
