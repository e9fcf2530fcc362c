"""Gives a written file its name if nobody has it: the one step on disks that decides between writers.

A hard link does so everywhere it exists. Where the file system has none (exFAT, some network and FUSE file systems),
a rename that never replaces does; nothing else is safe.
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import sys
from pathlib import Path
from typing import Literal

from skipfill.store.storage.unfinished import temporary

_LACKING = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_HERE, _NOREPLACE, _EXCLUSIVE = -100, 1, 4  # AT_FDCWD, RENAME_NOREPLACE of Linux, RENAME_EXCL of macOS


class NoNewNames(OSError):
    """A file system on which no file can be given a name without a risk of replacing another writer's."""

    def __init__(self) -> None:
        super().__init__("a file system with neither hard links nor renaming without replacement")


def name_new(source: Path, path: Path) -> Literal["link", "rename"]:
    """Give the file at `source` the name `path`, which is new; `source` may remain.

    Returns:
        The way in which it was done.

    Raises:
        FileExistsError: there is one of this name, which is left as it is.
        NoNewNames: the file system has no way.
    """
    try:
        os.link(source, path)
    except OSError as error:
        if error.errno not in _LACKING:
            raise
        _rename_new(source, path)
        return "rename"
    return "link"


def tried_in(folder: Path) -> Literal["link", "rename"]:
    """Try with an empty file how new names are given in a folder.

    Raises:
        NoNewNames: the file system has no way.
        OSError: no file can be made there.
    """
    with temporary(probe_in(folder)) as first, temporary(probe_in(folder)) as second:
        first.touch(exist_ok=False)
        return name_new(first, second)


def probe_in(folder: Path) -> Path:
    """A name for a file that is there for a moment, which the object store's listings pass over."""
    return folder / f".probe#{secrets.randbits(60)}"


def _rename_new(source: Path, path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    old, new = os.fsencode(source), os.fsencode(path)
    try:
        if sys.platform == "darwin":
            failed = libc.renamex_np(old, new, _EXCLUSIVE)
        else:
            failed = libc.renameat2(_HERE, old, _HERE, new, _NOREPLACE)
    except AttributeError:  # a C library without it
        raise NoNewNames from None
    if not failed:
        return
    number = ctypes.get_errno()
    if number in (*_LACKING, errno.EINVAL):
        raise NoNewNames
    raise OSError(number, os.strerror(number), str(source), None, str(path))
