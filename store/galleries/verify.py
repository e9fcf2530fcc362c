"""Reads every row of a gallery and refuses what cannot be searched: NaN, zero vectors, duplicate ids."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np

from skipfill.store.errors import Advice, BadInput, Stale
from skipfill.store.galleries.gallery import Gallery, open_gallery
from skipfill.store.parquet import ids
from skipfill.store.parquet.stored_rows import Block, StoredRows
from skipfill.store.storage.address import Address
from skipfill.store.storage.object_store import ObjectStore

Progress = Callable[[int], None]
"""Called with the number of rows read since the last call."""
ROUNDED = 0.01
"""Largest difference of a length from 1. Rounding to float16 makes a smaller one."""


def reread_gallery(objects: ObjectStore, name: str, progress: Progress = lambda rows: None) -> Gallery:
    """Open a gallery, read every row again, and compare the contents with those that were registered.

    Raises:
        BadInput: see `verified_contents`.
        Stale: the content of a file is not what was registered, though its size and footer may be.
    """
    gallery = open_gallery(objects, name)
    contents = verified_contents(gallery.rows, progress, of_length_one=gallery.of_length_one)
    for path, registered in zip(gallery.rows.files, gallery.files, strict=True):
        if registered.content and contents[path] != registered.content:
            raise Stale(
                f"{path}: expected the ids, vectors and labels that gallery {name} was registered with, found others",
                "Put the registered file back, or register the new one under another name.",
            )
    return gallery


def verified_contents(
    rows: StoredRows,
    progress: Progress,
    *,
    of_length_one: Collection[Address] = (),
    beside: Sequence[Address] = (),
) -> dict[Address, str]:
    """Read and verify every row; return the SHA-256 of the vectors, ids and labels of each file.

    Args:
        of_length_one: files whose vectors must have length 1.
        beside: files with the same columns, verified before, whose ids must not occur in these.

    Raises:
        BadInput: a NULL or duplicate id, or a vector of another dimension or length, with NaN, infinity or all zeros.
    """
    with tempfile.TemporaryDirectory() as scratch:
        ids.refuse_bad_ids_in_files([*beside, *rows.files], rows.columns.id, rows.id_kind, Path(scratch))
    digests = {}
    for path in rows.files:
        digest = hashlib.sha256()
        for block in rows.file_blocks(path):
            if path in of_length_one:
                _refuse_other_lengths(path, block)
            digest.update(block.vectors.astype("<f4", copy=False).tobytes())
            for column in (block.ids, block.labels):
                digest.update(b"" if column is None else json.dumps(column.to_pylist()).encode())
            progress(len(block.ids))
        digests[path] = digest.hexdigest()
    return digests


def _refuse_other_lengths(path: Address, block: Block) -> None:
    """Raise `BadInput` unless all vectors have length 1, as models make them: an index of products misranks others."""
    lengths = np.sqrt(np.einsum("nd,nd->n", block.vectors, block.vectors))
    wrong = np.flatnonzero(np.abs(lengths - 1) > ROUNDED)
    if len(wrong):
        raise BadInput(
            f"{path}, id {block.ids[int(wrong[0])].as_py()!r}",
            expected="a vector of length 1, as the space's model makes them",
            found=f"length {lengths[wrong[0]]:.4g}",
            hint=Advice("register_encoded"),
        )
