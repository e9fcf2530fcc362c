"""Gives a written file its name if no other file has it. On disks, this one step decides between writers.

A hard link does this on every file system that has hard links. On others (exFAT, some network and FUSE file systems), a
rename that never replaces does. Nothing else is safe.
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
    """Give the file at `source` the new name `path`. It may keep its old name too.

    Returns:
        The way in which it was done.

    Raises:
        FileExistsError: a file of this name exists. It is not changed.
        NoNewNames: the file system offers neither way.
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
    """Find out, with an empty file, in which way a new name can be given in a folder.

    Raises:
        NoNewNames: the file system offers neither way.
        OSError: no file can be made in the folder.
    """
    with temporary(probe_in(folder)) as first, temporary(probe_in(folder)) as second:
        first.touch(exist_ok=False)
        return name_new(first, second)


def probe_in(folder: Path) -> Path:
    """A path for a file that exists only for a moment. The object store does not list it."""
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
