"""Where the store is: made by `skipfill init`, found by flag, environment or the nearest `.skipfill/` upwards."""

from __future__ import annotations

import json
import os
from pathlib import Path

from skipfill.store.errors import BadInput, reason
from skipfill.store.objects import Objects

FOLDER = ".skipfill"
MARKER = "store.json"
FORMAT = 1


def init_store(root: Path) -> Objects:
    """Create an empty store at `root` (a folder that need not exist). Harmless when it is a store already."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            root,
            expected="a folder that can be created",
            found=reason(error),
            hint="Choose a folder you can write to with --store FOLDER.",
        ) from error
    objects = Objects(root)
    objects.put_new(MARKER, json.dumps({"format": FORMAT}).encode())
    return open_store(root)


def find_root(given: Path | None) -> Path:
    """`given`, or else the nearest `.skipfill/` in this folder or above."""
    if given is not None:
        return given
    here = Path.cwd()
    for folder in (here, *here.parents):
        if os.access(folder / FOLDER / MARKER, os.F_OK):  # a folder that may not be looked into has none
            return folder / FOLDER
    raise BadInput(
        here,
        expected=f"a {FOLDER}/ store here or in a folder above",
        found="none",
        hint="Make one with: skipfill init",
    )


def open_store(root: Path) -> Objects:
    """Open the store at `root`.

    Raises:
        BadInput: not a store, or one written in a format newer than this release reads.
    """
    try:
        marker = json.loads((root / MARKER).read_bytes())
        found = int(marker["format"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            root,
            expected=f"a skipfill store (a folder with a readable {MARKER})",
            found="no such folder" if not root.is_dir() else "something else",
            hint="Make one with: skipfill init",
        ) from error
    if found > FORMAT:
        raise BadInput(
            root,
            expected=f"store format {FORMAT} or older",
            found=f"format {found}",
            hint="Upgrade skipfill: this store was written by a newer release.",
        )
    return Objects(root)
