"""Parquet files pinned to the state in which they were opened: all that is read of one is of that state."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from skipfill.store.errors import Advice, BadInput, Stale
from skipfill.store.parquet.files import REMOTE_BYTES, refuse_bad_names, refuse_no_file, unreadable
from skipfill.store.parquet.remote import RemoteFile
from skipfill.store.storage.address import Address, Url

MOST_HELD = 100
"""Most files held open at once: a process may often have no more than 256."""
AT_ONCE = 32
"""Most requests to object storage at once."""


@dataclass(frozen=True)
class FileState:
    """Properties by which a file system, or object storage, tells one state of a file from another.

    Attributes:
        etag: on object storage, its name for this state, or its time where the storage gives none.
        device, inode, modified, changed: of a file on a disk; times in nanoseconds.
    """

    bytes: int
    etag: str = ""
    device: int = 0
    inode: int = 0
    modified: int = 0
    changed: int = 0

    def is_elsewhere(self, seen: FileState) -> bool:
        """Whether another machine that saw `seen` at the same path looked at the same state."""
        return (self.bytes, self.etag, self.modified) == (seen.bytes, seen.etag, seen.modified)


def file_state(path: Address) -> FileState | None:
    """Look at a file as it is now, one request; None where there is none."""
    try:
        return _state_of(path, RemoteFile(path) if isinstance(path, Url) else None)
    except FileNotFoundError:
        return None


def _state_of(path: Address, remote: RemoteFile | None) -> FileState:
    if remote is not None:
        return FileState(remote.size, remote.etag or remote.modified)
    assert not isinstance(path, Url)
    status = path.stat()
    return FileState(status.st_size, "", status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)


class PinnedFile:
    """One opened Parquet file. The handle stays on the file that was opened, whatever its path names later.

    Attributes:
        state: when it was opened.
    """

    def __init__(self, path: Address) -> None:
        """Open a file.

        Raises:
            FileNotFoundError: there is none.
            BadInput: it cannot be opened.
            Stale: it was replaced at this very moment.
        """
        self.path = path
        refuse_no_file(path)
        try:
            self._remote = RemoteFile(path) if isinstance(path, Url) else None
            self.state = _state_of(path, self._remote)
            self._handle = None if self._remote else pa.OSFile(str(path))
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowException) as error:
            raise unreadable(path, error) from error
        self._opened: pq.ParquetFile | None = None
        if self._remote is None:
            self.confirm()

    def confirm(self) -> None:
        """Raise `Stale` unless the path still names the file that was opened, unchanged."""
        if file_state(self.path) != self.state:
            raise changed(self.path)

    @property
    def etag(self) -> str:
        """On object storage, its name for this state; empty where it gives none."""
        return "" if self._remote is None else self._remote.etag

    @property
    def source(self) -> Any:
        """The bytes, for another reader of Parquet."""
        return self._handle if self._remote is None else self._remote.again()

    @property
    def metadata(self) -> pq.FileMetaData:
        """The footer.

        Raises:
            BadInput: the file is truncated, or not Parquet.
        """
        return self._parquet.metadata

    @property
    def schema_arrow(self) -> pa.Schema:
        return self._parquet.schema_arrow

    @property
    def rows(self) -> range:
        """The rows that are read."""
        return range(self.metadata.num_rows)

    def iter_batches(
        self, batch_size: int, columns: Sequence[str], *, use_threads: bool = True
    ) -> Iterator[pa.RecordBatch]:
        """Stream columns.

        Raises:
            Stale: they cannot be read because the file changed in its place.
        """
        reader = self._reader(self.metadata)
        with self._reading():
            yield from reader.iter_batches(batch_size, columns=list(columns), use_threads=use_threads)

    def footer_hash(self) -> str:
        """SHA-256 of the footer, which is not parsed.

        Raises:
            Stale: it cannot be read because the file changed.
        """
        with self._reading():
            file = self.source
            if self.state.bytes < 8:
                return ""
            file.seek(-8, 2)
            length = int.from_bytes(file.read(4), "little")
            if 8 + length > self.state.bytes:
                return ""  # other bytes than a Parquet file's
            file.seek(-8 - length, 2)
            return hashlib.sha256(file.read(length)).hexdigest()

    @property
    def _parquet(self) -> pq.ParquetFile:
        if self._opened is None:
            try:
                with self._reading():
                    self._opened = self._reader(None)
            except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
                raise unreadable(self.path, error) from error
            refuse_bad_names(self.path, self._opened)
        return self._opened

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Raise `Stale` instead of a read error where the file changed."""
        try:
            yield
        except (OSError, pa.ArrowException, BadInput):
            self.confirm()
            raise

    def _reader(self, metadata: pq.FileMetaData | None) -> pq.ParquetFile:
        # Without `pre_buffer` and a size, Arrow reads whole column chunks ahead: 1.2 GB for a gallery of 1 GB.
        size = 1 << 20 if self._remote is None else REMOTE_BYTES
        return pq.ParquetFile(self.source, metadata=metadata, pre_buffer=False, buffer_size=size)


class PinnedFiles:
    """Opens files, each in the state in which it was opened first.

    The first ones are held open. Others are opened again for each pass and refused if their state changed.
    """

    def __init__(self, open_file: Callable[[Address], PinnedFile] = PinnedFile) -> None:
        """Open nothing yet.

        Args:
            open_file: opens one file.
        """
        self._open = open_file
        self._held: dict[Address, PinnedFile] = {}
        self._states: dict[Address, FileState] = {}

    def __call__(self, path: Address) -> PinnedFile:
        """Open a file, or return it where it is held open.

        Raises:
            FileNotFoundError, BadInput: see `PinnedFile`.
            Stale: it is in another state than when it was opened first.
        """
        if path in self._held:
            return self._held[path]
        try:
            file = self._open(path)
        except FileNotFoundError:
            if path in self._states:
                raise changed(path) from None
            raise
        if self._states.setdefault(path, file.state) != file.state:
            raise changed(path)
        if len(self._held) < MOST_HELD:
            self._held[path] = file
        return file

    def watch(self, path: Path) -> None:
        """Remember the state of a file that another reader is about to read, once."""
        if state := file_state(path):
            self._states.setdefault(path, state)

    def confirm(self) -> None:
        """Raise `Stale` unless every path still names the file that was opened first, unchanged: one request a file."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for (path, opened), state in zip(self._states.items(), pool.map(file_state, self._states), strict=True):
                if state != opened:
                    raise changed(path)


def changed(path: Address) -> Stale:
    """The error for a file that is not what it was when it was opened."""
    return Stale(
        f"{path}: expected one state of the file from beginning to end, found that it was replaced, changed or removed "
        "while it was read",
        Advice("changed_while_read"),
    )
