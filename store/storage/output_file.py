"""An output file that appears whole and durable, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from skipfill.store.errors import Advice, BadInput, reason
from skipfill.store.storage.new_name import name_new, probe_in, tried_in
from skipfill.store.storage.unfinished import temporary


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file that appears at `path` when the block ends, and not at all when it fails.

    On Linux with most disks, the file has no name until then, so that a kill leaves nothing. Elsewhere, a kill leaves a
    file `.NAME.RANDOM.part`. An empty file is used first to try whether the file can be given its name.

    Raises:
        BadInput: a file of this name exists, or another writer makes one meanwhile, or the file cannot be written.
    """
    try:
        if path.exists():
            raise FileExistsError
        with _unnamed(path) as file:
            yield file
        _flush_folder(path.parent)
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
    """Tell whether an error is about the file or its folder, and not about a file that was read to fill it."""
    name = error.filename2 or error.filename
    return not isinstance(name, str | os.PathLike) or path.parent in (Path(name), Path(name).parent)


@contextmanager
def _unnamed(path: Path) -> Iterator[BinaryIO]:
    if _unnamed_can_be_named(path.parent):
        with _without_name(path.parent) as file:
            yield file
            _flush(file)
            _name(file, path)
        return
    tried_in(path.parent)
    with temporary(path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")) as part:
        with part.open("xb") as file:
            yield file
            _flush(file)
        name_new(part, path)


def _unnamed_can_be_named(folder: Path) -> bool:
    """Whether the system can make a file without a name and name it afterwards. Tries an empty file."""
    try:
        with temporary(probe_in(folder)) as probe, _without_name(folder) as file:
            _name(file, probe)
    except (AttributeError, OSError):
        return False
    return True


def _without_name(folder: Path) -> BinaryIO:
    return os.fdopen(os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666), "wb")


def _name(file: BinaryIO, path: Path) -> None:
    # A `src_dir_fd`, though the path is absolute and does not need it, makes Python follow the link.
    os.link(f"/proc/self/fd/{file.fileno()}", path, src_dir_fd=file.fileno())


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
