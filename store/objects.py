"""Immutable, durable objects under one root, by key. All access to the store goes through here."""

from __future__ import annotations

import os
from pathlib import Path

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore

from skipfill.store.errors import BadInput, reason


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
        """Write `key` atomically, whether or not it exists. Only for work in progress, never for the log."""
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

    def delete(self, key: str) -> None:
        obstore.delete(self._store, key)

    def _sync(self, key: str) -> None:
        """Flush the object, then each folder up to the root: obstore links atomically but does not fsync."""
        path = self.root / key
        while True:
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
            if path == self.root:
                return
            path = path.parent

    def _cannot_write(self, key: str, error: Exception) -> BadInput:
        return BadInput(
            self.root / key,
            expected="a store that can be written to",
            found=reason(error),
            hint="Check the folder's permissions and free space; nothing was changed.",
        )
