"""Immutable, durable objects under one root, by key: a folder or object storage. All access goes through here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore

from skipfill.store.errors import Advice, BadInput, reason
from skipfill.store.storage import durable_files
from skipfill.store.storage.address import Address, Url, found_at
from skipfill.store.storage.client import client
from skipfill.store.storage.object_errors import READ, WRITE, unreachable

Answer = TypeVar("Answer")
READERS = 16
_CONFLICTS = 5  # attempts: S3 may answer 409 to all writers that create one key at the same moment

UNFINISHED = re.compile(r".*#\d+")  # a local file that is still being written; obstore never lists one


@dataclass(frozen=True)
class Entry:
    """An object as it is listed.

    Attributes:
        unfinished: whether its write was cut off or still goes on. No reader sees such an object.
    """

    key: str
    bytes: int
    modified: datetime
    unfinished: bool = False


class ObjectStore:
    """Objects with put-if-absent under a folder, which must exist, or a URL. Reading creates nothing.

    On object storage the client finds its credentials as the vendors' own clients do (AWS_ACCESS_KEY_ID,
    AWS_ENDPOINT_URL, a machine's role, ...). One request may take AWS_TIMEOUT (60s); throttled and dropped ones are
    repeated 6 times, for at most a minute.

    Attributes:
        root: folder or URL of the objects; `root / key` names one in messages.
        base: folder that the paths of galleries' files are relative to: the store's parent. None on object storage,
            where the paths are absolute: every machine must have the files of such a gallery at the same path.
    """

    def __init__(self, root: Address) -> None:
        self.root = root
        self.base = None if isinstance(root, Url) else root.resolve().parent
        self._store = client(root) if isinstance(root, Url) else LocalStore(root)

    def put_new(self, key: str, data: bytes) -> bool:
        """Create `key` and make it durable; False, with nothing changed, if the key holds something else.

        An unknown outcome is settled by looking. So is a refusal: when the answer to a request is lost, the client
        repeats it, and finds the key taken by its first attempt.
        """
        for _ in range(_CONFLICTS):
            refusal: Exception | None = None
            try:
                self._create(key, data)
            except (BaseError, OSError) as error:
                refusal = error
            if refusal is None or (present := self._present(key, refusal)) == data:
                self._sync(key)
                return True
            if not isinstance(refusal, (AlreadyExistsError, FileExistsError)):
                raise self._failed(key, WRITE, refusal) from refusal
            if present is not None:
                return False
        raise self._failed(key, WRITE, refusal) from refusal

    def replace(self, key: str, data: bytes) -> None:
        """Write `key` atomically, whether or not it exists. Not for objects that decide anything, such as a log."""
        try:
            if isinstance(self.root, Path):
                durable_files.replace(self.root / key, data)
            else:
                obstore.put(self._store, key, data)
        except (BaseError, OSError) as error:
            raise self._failed(key, WRITE, error) from error
        self._sync(key, may_be_aside=True)

    def get(self, key: str) -> bytes:
        """The bytes of `key`.

        Raises:
            FileNotFoundError: no such object.
            BadInput: it cannot be read, such as a pipe, which would make its reader wait.
        """
        return self._ask(key, READ, lambda: obstore.get(self._store, key).bytes().to_bytes())

    def exists(self, key: str) -> bool:
        try:
            self._ask(key, READ, lambda: obstore.head(self._store, key))
        except FileNotFoundError:
            return False
        return True

    def read_all(self, read: Callable[[str], Answer], names: Sequence[str]) -> list[Answer]:
        """Call `read` for each name: side by side on object storage, where each call is a round trip."""
        if isinstance(self.root, Path):
            return [read(name) for name in names]
        with ThreadPoolExecutor(READERS) as pool:
            return list(pool.map(read, names))

    def children(self, prefix: str) -> list[str]:
        """Names directly under `prefix`, folders and objects alike, sorted."""
        listing = self._ask(prefix, READ, lambda: obstore.list_with_delimiter(self._store, prefix))
        names = {path.rsplit("/", 1)[-1] for path in listing["common_prefixes"]}
        names |= {meta["path"].rsplit("/", 1)[-1] for meta in listing["objects"]}
        return sorted(names)

    def after(self, prefix: str, name: str) -> list[str]:
        """Names of the objects under `prefix` that sort after `name`, sorted. The cost depends on their number only."""
        pages = self._ask(prefix, READ, lambda: list(obstore.list(self._store, prefix, offset=f"{prefix}/{name}")))
        return sorted(meta["path"].removeprefix(f"{prefix}/") for page in pages for meta in page)

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Everything under `prefix`, unfinished writes too."""
        for batch in self._ask(prefix, READ, lambda: list(obstore.list(self._store, prefix or None))):
            for meta in batch:
                yield Entry(meta["path"], meta["size"], meta["last_modified"])
        if not isinstance(self.root, Path):
            return
        for path in (self.root / prefix).rglob("*#*"):
            with suppress(FileNotFoundError):  # its writer has just finished
                if UNFINISHED.fullmatch(path.name) and path.is_file():
                    status = path.stat()
                    modified = datetime.fromtimestamp(status.st_mtime, UTC)
                    yield Entry(str(path.relative_to(self.root)), status.st_size, modified, unfinished=True)

    def delete(self, key: str) -> None:
        """Remove `key`, if it is there; an unfinished write too."""
        if isinstance(self.root, Path) and UNFINISHED.fullmatch(key):
            (self.root / key).unlink(missing_ok=True)  # obstore takes no such name
            return
        try:
            self._ask(key, WRITE, lambda: obstore.delete(self._store, key))
        except FileNotFoundError:
            return

    def modified(self, key: str) -> datetime | None:
        """Time at which `key` was written; None when it is not there."""
        try:
            return self._ask(key, READ, lambda: obstore.head(self._store, key))["last_modified"]
        except FileNotFoundError:
            return None

    def move(self, key: str, to: str) -> datetime | None:
        """Rename `key`, replacing any object at `to`. Atomic in a folder; a copy and a deletion on object storage.

        Returns:
            Time at which the object was written. None, with nothing changed, when it is not there. On object storage,
            `key` stays if it is written again while it is copied: the time is the later one.
        """
        written = self.modified(key)
        try:
            if isinstance(self.root, Path):
                self._ask(key, WRITE, lambda: obstore.rename(self._store, key, to))
                return self.modified(to)
            self._ask(key, WRITE, lambda: obstore.copy(self._store, key, to, overwrite=True))
        except FileNotFoundError:
            return None
        now = self.modified(key)
        if now == written:
            self.delete(key)
        return now

    def move_new(self, key: str, to: str) -> None:
        """Rename `key`, or only delete it if an object has the new name. Do nothing when it is not there.

        Two steps: a kill between them leaves both names.
        """
        if not self.exists(to):
            try:
                self._ask(key, WRITE, lambda: self._name_again(key, to))
                self._sync(to)
            except FileNotFoundError:
                return
            except FileExistsError:
                pass  # another writer has just written it again
        self.delete(key)

    def _name_again(self, key: str, to: str) -> None:
        if isinstance(self.root, Path):
            durable_files.name_again(self.root / key, self.root / to)
        else:  # an object at `to` may be overwritten, because its content is the same
            obstore.copy(self._store, key, to, overwrite=True)

    def _create(self, key: str, data: bytes) -> None:
        if isinstance(self.root, Path):
            durable_files.create(self.root / key, data)
        else:
            obstore.put(self._store, key, data, mode="create")

    def _ask(self, key: str, expected: str, request: Callable[[], Answer]) -> Answer:
        path = self.root / key
        if isinstance(path, Path) and (found := found_at(path)) == "a pipe or a device":
            raise BadInput(path, expected="a file or a folder", found=found)
        try:
            return request()
        except (FileNotFoundError, FileExistsError, AlreadyExistsError):
            raise
        except (BaseError, OSError) as error:
            raise self._failed(key, expected, error) from error

    def _present(self, key: str, refusal: Exception) -> bytes | None:
        """The bytes of `key` after a write that did not succeed; None where there is no such object."""
        try:
            return obstore.get(self._store, key).bytes().to_bytes()
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise self._failed(key, WRITE, refusal) from error

    def _sync(self, key: str, *, may_be_aside: bool = False) -> None:
        if not isinstance(self.root, Path):
            return  # what object storage acknowledged is durable
        path = self.root / key
        try:
            durable_files.sync(path, self.root)
        except OSError as error:
            if may_be_aside and isinstance(error, FileNotFoundError):
                return  # set aside by a prune, which puts it back; its content was durable before it had its name
            raise BadInput(
                path,
                expected="a disk that keeps what is written",
                found=reason(error),
                hint=Advice("look_at_disk"),
            ) from error

    def _failed(self, key: str, expected: str, error: Exception | None) -> Exception:
        return unreachable(self.root / key, expected, error or OSError())
