"""Arrays in temporary files: for data too large for memory."""

from __future__ import annotations

import errno
import math
import mmap
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from skipfill.store.errors import BadInput, reason


def scratch_array(folder: Path, dtype: Any, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """Make an array in a new file of `folder`. Its room is reserved now: a lack of it later would end the process.

    Raises:
        BadInput: there is no room for it.
    """
    path = folder / f"{uuid4().hex}.array"
    size = math.prod(shape) * np.dtype(dtype).itemsize
    try:
        with path.open("xb") as file:
            _take_room(file.fileno(), size)
        return np.memmap(path, dtype=dtype, mode="r+", shape=shape)
    except OSError as error:
        raise BadInput(
            path,
            expected=f"room for a temporary file of {size:,} bytes",
            found=reason(error),
            hint="Make room, or name another folder for such files in TMPDIR.",
        ) from error


def release_pages(array: np.memmap[Any, Any]) -> None:
    """Let the system take back the memory of the array's pages. Their content stays in the file."""
    mapped = array.base
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _take_room(handle: int, size: int) -> None:
    os.truncate(handle, size)
    if hasattr(os, "posix_fallocate") and size:
        try:
            os.posix_fallocate(handle, 0, size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # some file systems have no such call
                raise
