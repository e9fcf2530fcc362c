"""A bundle as one file: a plain tar whose bytes depend on the names and contents of its entries alone."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from skipfill.store.errors import BadInput

BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)


def packed(entries: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    """The archive of these entries, in their order, part by part."""
    for name, data in entries:
        yield _header(name, len(data))
        yield data
        yield bytes(-len(data) % BLOCK)
    yield END


class Archive:
    """Reads an archive made by `packed`, entry by entry. The reader names the next entry; no other is accepted.

    So there is no unexpected entry, none twice, no path, no link, and no header of another form.

    Args:
        where: the file's name, for messages.
    """

    def __init__(self, file: BinaryIO, where: object) -> None:
        self._file = file
        self._where = where
        self._left = os.fstat(file.fileno()).st_size

    def entry(self, name: str, largest: int | None = None) -> bytes:
        """The contents of the next entry, which must be `name`.

        Raises:
            BadInput: it is another one, or claims more bytes than there are, or more than `largest`.
        """
        block = self._read(BLOCK)
        size = self._size(block, name)
        most = self._left if largest is None else min(largest, self._left)
        if not 0 <= size <= most:
            raise self._refused(f"at most {most:,} bytes in {name}", f"{size:,} claimed")
        if block != _header(name, size):
            raise self._refused(f"{name} as a plain file", "a link, or a header that an export never writes")
        data = self._read(size)
        if self._read(-size % BLOCK).strip(b"\0"):
            raise self._refused(f"zeros after {name}", "something else")
        return data

    def end(self) -> None:
        """Raise `BadInput` unless the archive ends here."""
        if self._left != len(END) or self._read(len(END)) != END:
            raise self._refused("the end of the bundle", "more")

    def _size(self, block: bytes, name: str) -> int:
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, ValueError) as error:
            what = "something else" if block.strip(b"\0") else "the end of the file"
            raise self._refused(f"{name} in an exported bundle", what) from error
        if header.name != name:
            raise self._refused(f"an entry {name}", ascii(header.name[:80]))
        return header.size

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._left -= len(data)
        if len(data) != size:
            raise self._refused("a whole bundle", f"{size - len(data):,} bytes too few")
        return data

    def _refused(self, expected: str, found: str) -> BadInput:
        return BadInput(self._where, expected=expected, found=found, hint="Nothing was written. Export it again.")


def _header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size = size
    return entry.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")
