"""The stored gallery as training sees it: each item's stored vector by id, class prototypes, a pool of rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from skipfill.compat.methods.batch import GallerySample, OldSpace
from skipfill.store.errors import BadInput
from skipfill.store.galleries.gallery import Gallery
from skipfill.store.galleries.label_agreement import LabelsOfOneId
from skipfill.store.parquet.ids import positions
from skipfill.store.parquet.items import Items
from skipfill.store.parquet.stored_rows import Block
from skipfill.store.parquet.vectors import Matrix, normalised

POOL_ROWS = 65_536


@dataclass(frozen=True)
class GalleryJoin:
    """What one pass over the gallery gives.

    Attributes:
        space: what the gallery knows of the classes, with at most 65,536 of its rows.
        old: (N, d) stored vector of each item, L2-normalised, zeros where the gallery has none.
        has_old: (N,) bool.
        align_old: (A, d) stored vectors of the unlabelled items.
        align_found: (A,) bool.
        align_labels: (A,) int64 class of the item's row, -1 for none of the training classes.
    """

    space: OldSpace
    old: Tensor
    has_old: Tensor
    align_old: Tensor
    align_found: Tensor
    align_labels: Tensor


def join_gallery(
    gallery: Gallery,
    items: Items,
    classes: list[str],
    align: Items | None,
    held_out: pa.Array | None,
    seed: int,
    progress: Callable[[int], None],
) -> GalleryJoin:
    """Stream the gallery once. A row's class is its own label, or else the label of the item of its id.

    Args:
        classes: label of each class slot, some perhaps of classes that no item has: these have prototypes, but their
            rows, like those with another label or none, only ever repel.
        held_out: ids whose stored rows must not be used; no item has one of them.
        progress: called with the number of rows read since the last call.

    Raises:
        BadInput: items and gallery share no id, or have ids of different types, or what shares an id differs in
            its label more often than not; no row is left.
    """
    _refuse_other_ids(gallery, items)
    if align is not None:
        _refuse_other_ids(gallery, align)
    dim = gallery.space.dim
    old, has_old = np.zeros((len(items), dim), np.float32), np.zeros(len(items), bool)
    align_count = 0 if align is None else len(align)
    align_old, align_found = np.zeros((align_count, dim), np.float32), np.zeros(align_count, bool)
    align_labels = np.full(align_count, -1)
    sums, counts = np.zeros((len(classes), dim)), np.zeros(len(classes), np.int64)
    pool = _Reservoir(dim, min(POOL_ROWS, gallery.rows.count), seed)
    item_codes = _codes(items.labels, classes, len(items))
    taught = np.isin(np.arange(len(classes)), item_codes)
    labels = LabelsOfOneId()
    for block in gallery.rows.blocks():
        progress(len(block.ids))
        vectors = normalised(block.vectors)
        at = positions(block.ids, items.ids)
        here = at >= 0
        if block.labels is not None and items.labels is not None:
            labels.compare(block.labels.filter(pa.array(here)), items.labels.take(pa.array(at[here])))
        old[at[here]], has_old[at[here]] = vectors[here], True
        align_at = np.full(len(block.ids), -1) if align is None else positions(block.ids, align.ids)
        align_here = align_at >= 0
        align_old[align_at[align_here]], align_found[align_at[align_here]] = vectors[align_here], True
        codes = _row_classes(block, classes, at, item_codes)
        training = np.where((codes >= 0) & taught[codes], codes, -1)
        align_labels[align_at[align_here]] = training[align_here]
        if held_out is not None:
            usable = positions(block.ids, held_out) < 0
            vectors, codes, training, at = vectors[usable], codes[usable], training[usable], at[usable]
        labelled = codes >= 0
        np.add.at(sums, codes[labelled], vectors[labelled])
        counts += np.bincount(codes[labelled], minlength=len(classes))
        pool.add(vectors, training, at)
    _refuse_no_overlap(gallery, items, has_old)
    labels.refuse_mostly_different(items, gallery.name)
    if pool.filled == 0:
        raise BadInput(
            f"gallery {gallery.name}",
            expected="stored rows that are not held out",
            found="none",
            hint="Keep fewer with --hold-out.",
        )
    if align is not None:
        _refuse_no_overlap(gallery, align, align_found)
    pool.shuffle()
    prototypes = sums / np.maximum(counts, 1)[:, None]
    means = torch.from_numpy(prototypes.astype(np.float32))
    return GalleryJoin(
        space=OldSpace(dim, means, torch.from_numpy(counts), pool.sample()),
        old=torch.from_numpy(old),
        has_old=torch.from_numpy(has_old),
        align_old=torch.from_numpy(align_old),
        align_found=torch.from_numpy(align_found),
        align_labels=torch.from_numpy(align_labels),
    )


class _Reservoir:
    """A uniform sample of a stream (Vitter 1985, algorithm R, block by block)."""

    def __init__(self, dim: int, size: int, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._seen = 0
        self.filled = 0
        self._vectors = np.empty((size, dim), np.float32)
        self._codes = np.empty(size, np.int64)
        self._items = np.empty(size, np.int64)

    def add(self, vectors: Matrix, codes: np.ndarray, items: np.ndarray) -> None:
        size = len(self._codes)
        numbers = self._seen + np.arange(len(codes))
        slots = np.where(numbers < size, numbers, self._random.integers(0, numbers + 1))
        kept = np.flatnonzero(slots < size)
        # Of two rows for one slot, the later wins, as if they had come one by one.
        self._vectors[slots[kept]] = vectors[kept]
        self._codes[slots[kept]] = codes[kept]
        self._items[slots[kept]] = items[kept]
        self._seen += len(codes)
        self.filled = min(size, self._seen)

    def shuffle(self) -> None:
        """Put what is kept in random order; it is in that of the stream, which may be by class."""
        order = self._random.permutation(self.filled)
        self._vectors, self._codes, self._items = self._vectors[order], self._codes[order], self._items[order]

    def sample(self) -> GallerySample:
        return GallerySample(
            torch.from_numpy(self._vectors[: self.filled]),
            torch.from_numpy(self._codes[: self.filled]),
            torch.from_numpy(self._items[: self.filled]),
        )


def _codes(labels: pa.Array | None, classes: list[str], count: int) -> np.ndarray:
    if labels is None:
        return np.full(count, -1, np.int64)
    return positions(labels, pa.array(classes, pa.string()))


def _row_classes(block: Block, classes: list[str], at: np.ndarray, item_codes: np.ndarray) -> np.ndarray:
    codes = _codes(block.labels, classes, len(block.ids))
    unlabelled = (codes < 0) if block.labels is None else block.labels.is_null().to_numpy(zero_copy_only=False)
    by_item = np.where(at >= 0, item_codes[at], -1)
    return np.where(unlabelled, by_item, codes)


def _refuse_other_ids(gallery: Gallery, items: Items) -> None:
    if items.ids.type != gallery.rows.id_kind:
        raise BadInput(
            f"{items.where}, column {items.id_column}",
            expected=f"ids of type {gallery.rows.id_kind}, as in gallery {gallery.name}",
            found=f"{items.ids.type}",
            hint="Items and gallery are joined by id: write both with the same type.",
        )


def _refuse_no_overlap(gallery: Gallery, items: Items, found: np.ndarray) -> None:
    if not found.any():
        raise BadInput(
            f"{items.where}, column {items.id_column}",
            expected=f"ids that gallery {gallery.name} has",
            found=f"none of {len(items)} (first: {items.ids[0].as_py()!r})",
            hint="Items and gallery are joined by id: name the id column with --id COLUMN.",
        )
