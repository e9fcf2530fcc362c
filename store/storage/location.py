"""Finds, makes and opens a store: the folder or URL that was given, or the nearest `.skipfill/` upwards."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal
from uuid import uuid4

from skipfill.store.errors import Advice, BadInput, Parameter, reason
from skipfill.store.storage.address import Address, Url, address
from skipfill.store.storage.layout import MARKER, probe_key
from skipfill.store.storage.new_name import tried_in
from skipfill.store.storage.object_errors import WRITE, unreachable
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.strict_json import stored

FOLDER = ".skipfill"
FORMAT = 1


@dataclass(frozen=True)
class Marker:
    """Content of `store.json`."""

    format: int


def init_store(root: Address) -> ObjectStore:
    """Create an empty store at `root` (a folder that need not exist, or a URL). An existing store is left as it is."""
    if isinstance(root, Path):
        _make(root)
    objects = ObjectStore(root)
    if isinstance(root, Url) and not objects.exists(MARKER):
        _refuse_overwriting(objects)
    objects.put_new(MARKER, json.dumps(asdict(Marker(FORMAT))).encode())
    return open_store(root)


def is_store(root: Address) -> bool:
    """Whether there is a store at `root`."""
    return _has_marker(root) if isinstance(root, Path) else ObjectStore(root).exists(MARKER)


def _refuse_overwriting(objects: ObjectStore) -> None:
    """Raise `BadInput` for a server that accepts `If-None-Match: *` and overwrites anyway: no log is safe there."""
    key = probe_key(uuid4().hex)
    objects.put_new(key, b"first")
    second = objects.put_new(key, b"second")
    objects.delete(key)
    if second:
        raise BadInput(
            objects.root,
            expected="object storage that refuses to create an object twice (If-None-Match: *)",
            found="one that overwrites it",
            hint="Upgrade its server, or keep the store on a disk.",
        )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            folder,
            expected="a folder that can be created",
            found=reason(error),
            hint=Advice("choose_store_folder"),
        ) from error


def named_root(given: str) -> Address:
    """The address of the store that a user names: a URL, a folder, or a folder with a store in its `.skipfill/`.

    A path is made absolute and its links are followed, because the files of galleries are found relative to the place
    where the store really is.

    Raises:
        BadInput: it is empty, as from a variable that is not set, or it cannot be a path.
    """
    if not given:
        raise BadInput(Parameter("store"), expected="a folder, or a URL", found="an empty string")
    root = address(given)
    if isinstance(root, Url):
        return root
    try:
        root = Path(os.path.realpath(root))
    except ValueError as error:  # a zero byte, or half a character
        raise BadInput(Parameter("store"), expected="a folder, or a URL", found=repr(given)) from error
    inner = root / FOLDER
    return inner.resolve() if _has_marker(inner) and not _has_marker(root) else root


def _has_marker(folder: Path) -> bool:
    return os.access(folder / MARKER, os.F_OK)  # a folder that may not be looked into has none


def find_root(given: str | None) -> Address:
    """The address of the store that is named, or else of the nearest `.skipfill/` in this folder or above.

    Raises:
        BadInput: see `named_root`; or no folder has a store.
    """
    if given is not None:
        return named_root(given)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if _has_marker(folder / FOLDER):
            return (folder / FOLDER).resolve()
    raise BadInput(
        here,
        expected=f"a {FOLDER}/ store here or in a folder above",
        found="none",
        hint=Advice("make_store"),
    )


def open_store(root: Address) -> ObjectStore:
    """Open the store at `root`.

    Raises:
        BadInput: not a store, or one written in a format newer than this release reads.
    """
    if isinstance(root, Path) and not root.is_dir():
        raise _no_store(root, "no such folder")
    objects = ObjectStore(root)
    try:
        marker = objects.get(MARKER)
    except OSError as error:
        raise _no_store(root, reason(error) if isinstance(root, Path) else f"no {MARKER}") from error
    stored(Marker, marker, root / MARKER, what="store", newest=FORMAT)
    return objects


def way_of_naming(root: Address) -> Literal["link", "rename"] | None:
    """Find out, before long work, whether and how the store can give a new object its name. Tries an empty file.

    Returns:
        None on object storage, where only writing tells.

    Raises:
        BadInput: the store cannot be written to.
    """
    if isinstance(root, Url):
        return None
    try:
        return tried_in(root)
    except OSError as error:
        raise unreachable(root, WRITE, error) from error


def _no_store(root: Address, found: str) -> BadInput:
    kind = "folder" if isinstance(root, Path) else "place"
    return BadInput(
        root,
        expected=f"a skipfill store (a {kind} with a readable {MARKER})",
        found=found,
        hint=Advice("make_store") if isinstance(root, Path) else Advice("make_store_at", root=root),
    )
