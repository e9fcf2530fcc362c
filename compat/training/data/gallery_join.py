"""The gallery joined with the items of a training: stored vectors by id, class prototypes, a pool of rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from skipfill.compat.methods.batch import OldSpace
from skipfill.compat.training.data.coverage import Coverage, CoverageCounter
from skipfill.compat.training.data.reservoir import Reservoir
from skipfill.store.errors import Advice, BadInput
from skipfill.store.galleries.gallery import Gallery
from skipfill.store.galleries.label_agreement import LabelsOfOneId
from skipfill.store.parquet.ids import positions
from skipfill.store.parquet.items import Items
from skipfill.store.parquet.stored_rows import Block
from skipfill.store.parquet.vectors import Matrix, normalised

POOL_ROWS = 65_536
"""Most stored rows of the pool, which every sample of a training step comes from."""


@dataclass(frozen=True)
class StoredItems:
    """The gallery's rows of N items.

    Attributes:
        vectors: (N, d) L2-normalised stored vector of each item, zeros where the gallery has none.
        present: (N,) bool, whether the gallery has a row of the item.
        labels: (N,) int64 class of the row; -1 for no row and for none of the training classes.
    """

    vectors: Tensor
    present: Tensor
    labels: Tensor


@dataclass(frozen=True)
class GalleryJoin:
    """The result of one pass over the gallery.

    Attributes:
        space: prototypes of the classes, and a pool of at most 65,536 stored rows.
        items: the stored rows of the training items.
        unlabelled: the stored rows of the unlabelled items; None without such items.
        coverage: numbers of rows by whether the training items have their class.
    """

    space: OldSpace
    items: StoredItems
    unlabelled: StoredItems | None
    coverage: Coverage


def join_gallery(
    gallery: Gallery,
    items: Items,
    classes: list[str],
    *,
    unlabelled: Items | None = None,
    excluded_ids: pa.Array | None = None,
    seed: int = 0,
    progress: Callable[[int], None] = lambda rows: None,
) -> GalleryJoin:
    """Stream the gallery once and join it with the items by id.

    A row's class is that of its own label, or else of the item with its id.

    Args:
        items: the training items, labelled.
        classes: label of each class slot. A class that no item has gets a prototype too, but elsewhere its rows count
            as rows of no training class, which only repel.
        unlabelled: items of the gallery without labels.
        excluded_ids: ids whose stored rows must not be used. No item has one of them.
        seed: seed of the pool.
        progress: called with the number of rows read since the last call.

    Raises:
        BadInput: items and gallery share no id, or have ids of different types; most ids have one label in the items
            and another in the gallery; or every row is held out.
    """
    assert items.labels is not None
    stored_items = _ItemRows(gallery, items)
    unlabelled_rows = None if unlabelled is None else _ItemRows(gallery, unlabelled)
    row_classes = _RowClasses(items.labels, classes)
    prototypes = _Prototypes(len(classes), gallery.space.dim)
    pool = Reservoir(gallery.space.dim, min(POOL_ROWS, gallery.rows.count), seed)
    agreement, coverage = LabelsOfOneId(), CoverageCounter()
    for block in gallery.rows.blocks():
        progress(len(block.ids))
        vectors = normalised(block.vectors)
        places = positions(block.ids, items.ids)
        _compare_labels(agreement, block, items.labels, places)
        codes = row_classes.of(block, places)
        training = row_classes.of_training(codes)
        coverage.add(block.labels, training)
        stored_items.add(places, vectors, training)
        if unlabelled is not None and unlabelled_rows is not None:
            unlabelled_rows.add(positions(block.ids, unlabelled.ids), vectors, training)
        usable = slice(None) if excluded_ids is None else positions(block.ids, excluded_ids) < 0
        prototypes.add(vectors[usable], codes[usable])
        pool.add(vectors[usable], training[usable], places[usable])
    of_items = stored_items.result()
    agreement.refuse_mostly_different(items, gallery.name)
    _refuse_no_row(gallery, pool)
    pool.shuffle()
    sample = None if unlabelled_rows is None else unlabelled_rows.result()
    return GalleryJoin(
        space=OldSpace(gallery.space.dim, prototypes.means(), torch.from_numpy(prototypes.counts), pool.sample()),
        items=of_items,
        unlabelled=sample,
        coverage=coverage.result(0 if sample is None else int(sample.present.sum())),
    )


def _refuse_no_row(gallery: Gallery, pool: Reservoir) -> None:
    """Raise `BadInput` when every row is held out."""
    if pool.filled == 0:
        raise BadInput(
            f"gallery {gallery.name}",
            expected="stored rows that are not held out",
            found="none",
            hint=Advice("hold_out_fewer"),
        )


class _ItemRows:
    """Collects the stored rows of some items, block by block.

    Raises:
        BadInput: items and gallery have ids of different types.
    """

    def __init__(self, gallery: Gallery, items: Items) -> None:
        if items.ids.type != gallery.rows.id_kind:
            raise BadInput(
                f"{items.where}, column {items.id_column}",
                expected=f"ids of type {gallery.rows.id_kind}, as in gallery {gallery.name}",
                found=f"{items.ids.type}",
                hint="Items and gallery are joined by id: write both with the same type.",
            )
        self._gallery = gallery
        self._items = items
        self._vectors = np.zeros((len(items), gallery.space.dim), np.float32)
        self._present = np.zeros(len(items), bool)
        self._labels = np.full(len(items), -1)

    def add(self, places: NDArray[np.int64], vectors: Matrix, labels: NDArray[np.int64]) -> None:
        """Keep those of M rows that are rows of the items.

        Args:
            places: (M,) position of the item with the row's id, or -1.
            labels: (M,) training class of each row, or -1.
        """
        rows = places >= 0
        self._vectors[places[rows]] = vectors[rows]
        self._present[places[rows]] = True
        self._labels[places[rows]] = labels[rows]

    def result(self) -> StoredItems:
        """The rows of the items.

        Raises:
            BadInput: the gallery has no row of any of them.
        """
        if not self._present.any():
            raise BadInput(
                f"{self._items.where}, column {self._items.id_column}",
                expected=f"ids that gallery {self._gallery.name} has",
                found=f"none of {len(self._items)} (first: {self._items.ids[0].as_py()!r})",
                hint=Advice("join_by_id"),
            )
        return StoredItems(*map(torch.from_numpy, (self._vectors, self._present, self._labels)))


class _RowClasses:
    """Finds the class of stored rows.

    Args:
        labels: (N,) labels of the training items.
        classes: label of each class slot.
    """

    def __init__(self, labels: pa.Array, classes: list[str]) -> None:
        self._classes = pa.array(classes, pa.string())
        self._item_classes = positions(labels, self._classes)
        self._trained = np.isin(np.arange(len(classes)), self._item_classes)

    def of(self, block: Block, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """(M,) class of each row; -1 if its label is not a class, or if neither row nor item has a label.

        Args:
            places: (M,) position of the training item with the row's id, or -1.
        """
        by_item = np.where(places >= 0, self._item_classes[places], -1)
        if block.labels is None:
            return by_item
        unlabelled = block.labels.is_null().to_numpy(zero_copy_only=False)
        return np.where(unlabelled, by_item, positions(block.labels, self._classes))

    def of_training(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The same classes, with -1 for those that no training item has."""
        return np.where((codes >= 0) & self._trained[codes], codes, -1)


class _Prototypes:
    """Adds up the stored vectors of each class."""

    def __init__(self, classes: int, dim: int) -> None:
        self._sums = np.zeros((classes, dim))
        self.counts = np.zeros(classes, np.int64)

    def add(self, vectors: Matrix, codes: NDArray[np.int64]) -> None:
        """Add (M, d) vectors to the classes of (M,) codes; a code of -1 is left out."""
        labelled = codes >= 0
        np.add.at(self._sums, codes[labelled], vectors[labelled])
        self.counts += np.bincount(codes[labelled], minlength=len(self.counts))

    def means(self) -> Tensor:
        """(C, d) mean vector of each class, zeros where it has no row."""
        return torch.from_numpy((self._sums / np.maximum(self.counts, 1)[:, None]).astype(np.float32))


def _compare_labels(agreement: LabelsOfOneId, block: Block, labels: pa.Array, places: NDArray[np.int64]) -> None:
    """Compare the labels of a block's rows with those of the items at `places`, -1 for no item."""
    if block.labels is not None:
        rows = places >= 0
        agreement.compare(block.labels.filter(pa.array(rows)), labels.take(pa.array(places[rows])))
