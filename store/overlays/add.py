"""Vectors added to an overlay: those that it lacks, each only once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skipfill.store.errors import BadInput
from skipfill.store.overlays.compact import compact
from skipfill.store.overlays.files import new_files
from skipfill.store.overlays.log import OverlayVersion, commit_entry
from skipfill.store.overlays.overlay import Overlay, open_overlay, opened_entry
from skipfill.store.parquet.ids import id_type, plain
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.storage import quarantine
from skipfill.store.storage.layout import overlay_file_key
from skipfill.store.storage.object_store import ObjectStore


@dataclass(frozen=True)
class Added:
    """The result of adding rows.

    Attributes:
        added: the number of rows that are new.
        already: the number of rows that were there already, or were given twice.
        overlay: the overlay right after the addition.
    """

    added: int
    already: int
    overlay: Overlay


def add_rows(
    objects: ObjectStore,
    gallery: str,
    fingerprint: str,
    ids: pa.Array,
    digests: NDArray[np.uint64],
    vectors: Matrix,
    progress: Callable[[int], None] = lambda rows: None,
    *,
    model: str = "",
    before: Overlay | None = None,
) -> Added:
    """Add the vectors of N rows to the overlay of a gallery by the model with a fingerprint.

    A row is an id with its content: a row that is there stays as it is. If another writer commits first, its rows are
    read, and the rows that are still new are written after them. When this returns, all rows are durably stored.

    Args:
        ids: (N,) of rows of the gallery: int64 or string.
        digests: (N,) of the items' content, by `item_digests`.
        vectors: (N, D) float32 by the model, in its own space.
        progress: called with the number of rows committed.
        model: name of the model, for lists.
        before: an earlier version of the overlay, which saves reading it again.

    Raises:
        BadInput: rows that do not fit each other or the overlay, or a damaged overlay.
    """
    ids = _refuse_unfit(gallery, ids, digests, vectors)
    total, dim = len(ids), vectors.shape[1]
    while True:
        overlay, last = opened_entry(objects, gallery, fingerprint, dim, before)
        before = overlay
        new = first_of_each(ids, digests) & (overlay.places(ids, digests) < 0)
        if not new.any():
            progress(total)
            return Added(0, total, overlay)
        files = list(new_files(ids.filter(pa.array(new)), digests[new], vectors[new]))
        keys = [overlay_file_key(gallery, fingerprint, file.listed.digest) for file in files]
        for key, file in zip(keys, files, strict=True):
            objects.replace(key, file.data)  # written again if it is there, so that no prune takes it for a leftover
        now = last or OverlayVersion(0, "added", model, fingerprint, dim, [])
        listed = [*now.files, *(file.listed for file in files)]
        entry = replace(
            now, number=now.number + 1, action="added", dim=dim, files=listed, undo=now.number, reason="",
            model=model or now.model,
        )  # fmt: skip
        if committed := commit_entry(objects, gallery, entry):
            break
    for key, file in zip(keys, files, strict=True):
        quarantine.ensure(objects, key, file.data)
    progress(total)
    compact(objects, gallery, committed)
    added = int(new.sum())
    return Added(added, total - added, open_overlay(objects, gallery, fingerprint, dim, overlay))


def _refuse_unfit(gallery: str, ids: pa.Array, digests: NDArray[np.uint64], vectors: Matrix) -> pa.Array:
    where = f"rows for an overlay of gallery {gallery}"
    if vectors.ndim != 2 or not len(ids) == len(digests) == len(vectors) or digests.dtype != np.uint64:
        raise BadInput(
            where,
            expected="as many digests of 64 bits and vectors as ids",
            found=f"{len(ids)} ids, {digests.dtype} of shape {digests.shape}, {vectors.dtype} of {vectors.shape}",
        )
    if ids.null_count or not np.isfinite(vectors).all() or vectors.dtype != np.float32:
        raise BadInput(where, expected="an id and a vector of finite float32 in each row", found="others")
    return plain(ids, id_type(ids.type, where), where)


def first_of_each(ids: pa.Array, digests: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """(N,) whether a row is the first of its id and content."""
    numbers = ids.dictionary_encode().indices.to_numpy(zero_copy_only=False)
    _, first = np.unique(np.stack([numbers.astype(np.uint64), digests], axis=1), axis=0, return_index=True)
    chosen = np.zeros(len(ids), np.bool_)
    chosen[first] = True
    return chosen
