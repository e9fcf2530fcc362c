"""Small files of an overlay, joined into a few large ones that a new entry of its log lists instead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from skipfill.store.errors import Stale
from skipfill.store.overlays.files import LARGEST, new_files, read_rows
from skipfill.store.overlays.log import OverlayFile, OverlayVersion, commit_entry
from skipfill.store.storage import quarantine
from skipfill.store.storage.layout import overlay_file_key
from skipfill.store.storage.object_store import ObjectStore

MOST_SMALL = 16
"""Small files that an overlay may end with."""


def compact(objects: ObjectStore, gallery: str, entry: OverlayVersion) -> OverlayVersion | None:
    """Join the small files at the end of an overlay if there are more than `MOST_SMALL` of them: see `small_at_end`.

    Their order stays, so the newest vector of an id stays the newest. Prune removes the old files.

    Args:
        entry: the newest one.

    Returns:
        The new entry; None if there is nothing to join, or another writer came first: the next addition joins them.
    """
    small = small_at_end(entry.files)
    if len(small) <= MOST_SMALL:
        return None
    try:
        parts = [read_rows(objects, gallery, entry.fingerprint, file) for file in small]
    except Stale:  # compacted by another writer, and pruned
        return None
    ids = pa.concat_arrays([part[0] for part in parts])
    files = list(
        new_files(ids, np.concatenate([part[1] for part in parts]), np.concatenate([part[2] for part in parts]))
    )
    keys = [overlay_file_key(gallery, entry.fingerprint, file.listed.digest) for file in files]
    for key, file in zip(keys, files, strict=True):
        objects.replace(key, file.data)
    listed = [*entry.files[: -len(small)], *(file.listed for file in files)]
    number = entry.number + 1
    committed = commit_entry(objects, gallery, replace(entry, number=number, action="compacted", files=listed))
    if committed is not None:
        for key, file in zip(keys, files, strict=True):
            quarantine.ensure(objects, key, file.data)
    return committed


def small_at_end(files: list[OverlayFile]) -> list[OverlayFile]:
    """The files at the end that have less than a tenth of all bytes, and less than half of the largest size."""
    limit = min(sum(file.bytes for file in files) / 10, LARGEST / 2)
    count = next((count for count, file in enumerate(reversed(files)) if file.bytes >= limit), len(files))
    return files[len(files) - count :]
