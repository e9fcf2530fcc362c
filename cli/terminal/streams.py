"""The standard streams: always there, and failing in one way. Called before anything is printed or opened.

What cannot be written to stdout is an error, `OutputLost`; what cannot be written to stderr is left out.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any, TextIO


class OutputLost(OSError):
    """Stdout takes no more, as on a full disk. What the command did until then is done."""


class ReaderGone(Exception):
    """Nobody reads stdout any more. No `BrokenPipeError`, for which rich and click end the process with 1."""


def prepare_streams() -> None:
    """Put the null device where a standard stream is closed, and let errors of writing be as described above.

    A second call changes nothing.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # In this order each gets the number that is free; else a file of the store would get it, and our output.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
    sys.stdout = _through(_Stdout, sys.stdout)
    sys.stderr = _through(_Stderr, sys.stderr)


def mute() -> None:
    """Send stdout nowhere, so that Python has nothing to report when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Stream(io.RawIOBase):
    """A stream without a buffer, in place of another one."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._stream = stream  # it would close its raw one if nobody had it any more
        self._raw: Any = getattr(stream.buffer, "raw", stream.buffer)  # with -u there is no buffer

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()


class _Stdout(_Stream):
    def write(self, data: Any, /) -> Any:
        try:
            return self._raw.write(data)
        except BrokenPipeError:
            raise ReaderGone from None
        except OSError as error:
            raise OutputLost(error.errno, "stdout") from error


class _Stderr(_Stream):
    def write(self, data: Any, /) -> Any:
        try:
            return self._raw.write(data)
        except OSError:
            return memoryview(data).nbytes


def _through(kind: type[_Stream], stream: TextIO) -> TextIO:
    """The stream, written through one of ours; a stream of a test, which has no handle, as it is."""
    if not isinstance(stream, io.TextIOWrapper) or isinstance(getattr(stream.buffer, "raw", None), _Stream):
        return stream
    # Where the locale lacks a character, it is written out.
    return io.TextIOWrapper(
        io.BufferedWriter(kind(stream)),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
