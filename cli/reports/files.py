"""Writes report files: each as a whole or not at all, and never over a file that the command needs."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from skipfill.store.errors import BadInput, reason
from skipfill.store.storage.unfinished import temporary

SUMMARY = "GITHUB_STEP_SUMMARY"
PARQUET = b"PAR1"
"""First bytes of a Parquet file. Items are in such files, and so are a gallery's rows: no report replaces one."""


def refuse_unwritable(
    *paths: Path | None, github: bool = False, inputs: Sequence[Path] = (), store: object = None
) -> None:
    """Verify before the measurement that its reports can be written afterwards.

    Args:
        inputs: files that the command reads.
        store: where the store is; a folder, if it is a `Path`.

    Raises:
        BadInput: no file can be created there, one that must stay as it is would be replaced, or two reports have one
            path.
    """
    places = set()
    for path in paths:
        if path is None:
            continue
        refuse_overwriting(path, inputs, store)
        with _telling(path):
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "")
            if _is_special(path):
                if not os.access(path, os.W_OK):
                    raise PermissionError(errno.EACCES, "")
                continue  # opening and closing a pipe would end it for its reader
            if (place := os.path.realpath(path)) in places:
                raise BadInput(path, expected="a file for each report", found="the same file for two of them")
            places.add(place)
            with temporary(_beside(path)) as part:
                part.open("x").close()
    if github and os.environ.get(SUMMARY):
        append(Path(os.environ[SUMMARY]), "")


def refuse_overwriting(path: Path, inputs: Sequence[Path], store: object) -> None:
    """Refuse a report that would replace an input or a Parquet file, or lie in the store's folder.

    Raises:
        BadInput: it would do one of these; the error says which.
    """
    with _telling(path):
        found = ""
        if isinstance(store, Path) and Path(os.path.realpath(path)).is_relative_to(os.path.realpath(store)):
            found = "a place in the store's folder"
        elif path.is_file():
            if any(each.exists() and path.samefile(each) for each in inputs):
                found = "a file that this command reads"
            elif _begins_with(path, PARQUET):
                found = "a Parquet file"
    if found:
        raise BadInput(path, expected="a file for a report", found=found, hint="Name another file.")


def replace(path: Path, text: str) -> None:
    """Write a file, new or not. A device or a pipe is written into, not replaced.

    Raises:
        BadInput: it cannot be written.
    """
    with _telling(path):
        if _is_special(path):
            handle = _stream_at(path)
            with open(path if handle is None else os.dup(handle), "w", encoding="utf-8", newline="\n") as file:  # noqa: PTH123
                file.write(text)
            return
        with temporary(_beside(path)) as part:
            part.write_text(text, encoding="utf-8", newline="\n")
            part.replace(path.resolve())


def append(path: Path, text: str) -> None:
    """Write at the end of a file.

    Raises:
        BadInput: it cannot be written.
    """
    with _telling(path), path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(text)


def _is_special(path: Path) -> bool:
    """Whether a rename to `path` would replace something that is open: a device, a pipe, or our own stdout."""
    return path.exists() and (not path.is_file() or _stream_at(path) is not None)


def _stream_at(path: Path) -> int | None:
    """The handle of stdout or stderr, flushed, if `path` leads to one of them."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a test's stream has no handle
            if os.path.samestat(path.stat(), os.fstat(stream.fileno())):
                stream.flush()
                return stream.fileno()
    return None


def _begins_with(path: Path, start: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(start)) == start


_PART = f".{uuid4().hex}.part"


def _beside(path: Path) -> Path:
    """A name in the same folder that only this process uses, so that a rename from it is atomic."""
    return path.resolve().with_name(_PART)


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        no_folder = isinstance(error, FileNotFoundError) and not path.parent.exists()
        raise BadInput(
            path,
            expected="a file that can be written to",
            found=f"no folder {path.parent}" if no_folder else reason(error),
            hint="Make the folder first." if no_folder else "Name another place for it, or leave the option out.",
        ) from error
