"""Immutable, durable objects under one root, by key. All access to the store goes through here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore

from skipfill.store.errors import BadInput, reason

UNFINISHED = re.compile(r".*#\d+")  # how obstore names a local file that it still writes; it never lists one


@dataclass(frozen=True)
class Entry:
    """An object as it is listed.

    Attributes:
        unfinished: its write did not come to an end, or goes on: no reader sees it.
    """

    key: str
    bytes: int
    modified: datetime
    unfinished: bool = False


class Objects:
    """A folder of objects with put-if-absent. The folder must exist; reading creates nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._store = LocalStore(root)

    def put_new(self, key: str, data: bytes) -> bool:
        """Create `key` and make it durable; False, with nothing changed, if the key is taken.

        A failure whose outcome is unknown is settled by looking: if the object is there with our
        bytes, it landed.
        """
        try:
            obstore.put(self._store, key, data, mode="create")
        except AlreadyExistsError:
            return False
        except (BaseError, OSError) as error:
            if not (self.exists(key) and self.get(key) == data):
                raise self._cannot_write(key, error) from error
        self._sync(key)
        return True

    def replace(self, key: str, data: bytes) -> None:
        """Write `key` atomically, whether or not it exists. For unfinished and staged work, never for the log."""
        try:
            obstore.put(self._store, key, data)
        except (BaseError, OSError) as error:
            raise self._cannot_write(key, error) from error
        self._sync(key)

    def get(self, key: str) -> bytes:
        """The bytes of `key`.

        Raises:
            FileNotFoundError: no such object.
        """
        return obstore.get(self._store, key).bytes().to_bytes()

    def exists(self, key: str) -> bool:
        try:
            obstore.head(self._store, key)
        except FileNotFoundError:
            return False
        return True

    def children(self, prefix: str) -> list[str]:
        """Names directly under `prefix`, folders and objects alike, sorted."""
        listing = obstore.list_with_delimiter(self._store, prefix)
        names = {path.rsplit("/", 1)[-1] for path in listing["common_prefixes"]}
        names |= {meta["path"].rsplit("/", 1)[-1] for meta in listing["objects"]}
        return sorted(names)

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Everything under `prefix`, unfinished writes too."""
        for batch in obstore.list(self._store, prefix or None):
            for meta in batch:
                yield Entry(meta["path"], meta["size"], meta["last_modified"])
        for path in (self.root / prefix).rglob("*#*"):
            if UNFINISHED.fullmatch(path.name) and path.is_file():
                seen = path.stat()
                modified = datetime.fromtimestamp(seen.st_mtime, UTC)
                yield Entry(str(path.relative_to(self.root)), seen.st_size, modified, unfinished=True)

    def delete(self, key: str) -> None:
        """Remove `key`, if it is there; an unfinished write too."""
        try:
            if UNFINISHED.fullmatch(key):
                (self.root / key).unlink(missing_ok=True)  # obstore takes no such name
            else:
                obstore.delete(self._store, key)
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            raise self._cannot_write(key, error) from error

    def _sync(self, key: str) -> None:
        """Flush the object, then each folder up to the root: obstore links atomically but does not fsync."""
        path = self.root / key
        try:
            for one in (path, *path.parents[: len(path.relative_to(self.root).parts)]):
                handle = os.open(one, os.O_RDONLY)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)
        except OSError as error:
            raise BadInput(
                path,
                expected="a disk that keeps what is written",
                found=reason(error),
                hint="It is written, and may not be after a crash. Look at the disk, then: skipfill doctor",
            ) from error

    def _cannot_write(self, key: str, error: Exception) -> BadInput:
        return BadInput(
            self.root / key,
            expected="a store that can be written to",
            found=reason(error),
            hint="Check the folder's permissions and free space; nothing was changed.",
        )
