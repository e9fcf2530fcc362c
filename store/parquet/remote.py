"""Users' files on object storage: found, and read by ranges, so that Parquet's reader takes only what it needs."""

from __future__ import annotations

import io
from fnmatch import fnmatchcase
from functools import lru_cache

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from skipfill.store.errors import BadInput
from skipfill.store.storage.address import Url
from skipfill.store.storage.client import client
from skipfill.store.storage.object_errors import unreachable

READABLE = "an object that can be read"


class RemoteFile(io.RawIOBase):
    """One object as a file that can be sought and read. Reads the state it was opened in, or fails.

    Attributes:
        size: bytes.
        etag: the storage's name for this state; empty where it gives none.
        modified: when it was written, ISO 8601.

    Raises:
        FileNotFoundError: no such object.
    """

    def __init__(self, url: Url) -> None:
        super().__init__()
        self._url = url
        self._store, self._key = _place(url)
        try:
            meta = obstore.head(self._store, self._key)
        except BaseError as error:
            raise unreachable(url, READABLE, error) from error
        self.size = meta["size"]
        self.etag = meta["e_tag"] or ""
        self.modified = meta["last_modified"].isoformat()
        self._at = 0

    def again(self) -> RemoteFile:
        """The same state of the object once more, with a position of its own. Makes no request."""
        other = RemoteFile.__new__(RemoteFile)
        io.RawIOBase.__init__(other)
        vars(other).update(vars(self), _at=0)
        return other

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self.size if size < 0 else min(self.size, self._at + size)
        if self._at >= end:
            return b""
        data = self._range(self._at, end)
        self._at = end
        return data

    def _range(self, start: int, end: int) -> bytes:
        options: obstore.GetOptions = {"range": (start, end)}
        if self.etag:
            options["if_match"] = self.etag
        try:
            return obstore.get(self._store, self._key, options=options).bytes().to_bytes()
        except (BaseError, OSError) as error:
            raise unreachable(self._url, READABLE, error) from error


def matching(url: Url) -> list[Url]:
    """List the objects that `url` stands for: one, those that a pattern with `*` matches, or every `*.parquet` below.

    Raises:
        BadInput: there is none.
    """
    bucket, key = _bucket(url), _key(url)
    fixed = key.partition("*")[0]
    pattern = key if "*" in key else f"{key}/*.parquet" if key else "*.parquet"
    try:
        if "*" not in key and key and _exists(url):
            return [url]
        pages = list(obstore.list(_client(bucket), fixed.rpartition("/")[0] if "*" in key else fixed))
    except (BaseError, OSError) as error:
        raise unreachable(url, "object storage that can be read", error) from error
    paths = sorted(meta["path"] for page in pages for meta in page if fnmatchcase(meta["path"], pattern))
    if not paths:
        raise BadInput(
            url,
            expected="a Parquet file, a prefix of some, or a pattern with *",
            found="no such object",
            hint="See which objects are there with the storage's own tool.",
        )
    return [Url(f"{bucket}/{path}") for path in paths]


def _exists(url: Url) -> bool:
    try:
        obstore.head(*_place(url))
    except FileNotFoundError:
        return False
    return True


def _place(url: Url) -> tuple[ObjectStore, str]:
    return _client(_bucket(url)), _key(url)


def _bucket(url: Url) -> str:
    return "/".join(url.text.split("/", 3)[:3])


def _key(url: Url) -> str:
    return "/".join(url.text.split("/", 3)[3:])


@lru_cache
def _client(bucket: str) -> ObjectStore:
    """One client for all files of a bucket: each client has connections of its own."""
    return client(Url(bucket))
