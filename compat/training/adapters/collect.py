"""One pass over the gallery in its own order: sums over all pairs, and a sample of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from skipfill.compat.methods.adapters.pairs import ROWS_AT_ONCE, PairSample, PairSums
from skipfill.compat.progress import Progress
from skipfill.compat.training.adapters.new_vectors import NewVectors
from skipfill.compat.training.data.reservoir import Slots
from skipfill.store.galleries.gallery import Gallery
from skipfill.store.parquet.ids import positions
from skipfill.store.parquet.stored_rows import Block
from skipfill.store.parquet.vectors import Matrix, normalised

SAMPLE_BYTES = 1 << 26  # memory for the sample of pairs


@dataclass(frozen=True)
class JoinedBlock:
    """Rows of a block of the gallery that have an item with the same id.

    Attributes:
        block: the block that holds the rows.
        rows: (m,) positions of the rows in the block, ascending.
        places: (m,) position of the item of each row.
        old: (m, d) stored vectors of the rows, L2-normalised.
    """

    block: Block
    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    old: Matrix


def joined_blocks(gallery: Gallery, ids: pa.Array, progress: Progress) -> Iterator[JoinedBlock]:
    """Stream the gallery and find the item of each row by id."""
    following = 0
    for block in gallery.rows.blocks():
        progress.advance(len(block.ids))
        # Most files of items are in the gallery's order. Then no id has to be looked up.
        if ids.slice(following, len(block.ids)).equals(block.ids):
            places = np.arange(following, following + len(block.ids))
        else:
            places = positions(block.ids, ids)
        rows = np.flatnonzero(places >= 0)
        if len(rows):
            following = int(places[rows[-1]]) + 1
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[start : start + ROWS_AT_ONCE]
            yield JoinedBlock(block, some, places[some], normalised(block.vectors[some]))


@dataclass(frozen=True)
class Collected:
    """The result of the pass.

    Attributes:
        sums: over all pairs.
        sample: the pairs kept in memory: all of them, or a random sample.
        places: (S,) position of the item of each pair in the sample.
        labels: distinct labels of the pairs, sorted.
    """

    sums: PairSums
    sample: PairSample
    places: NDArray[np.int64]
    labels: list[str]


def collect(
    gallery: Gallery,
    new: NewVectors,
    progress: Progress,
    *,
    with_products: bool,
    seed: int,
) -> Collected:
    """Join the gallery with the items by id, in one pass.

    Args:
        with_products: see `with_new` of `PairSums`.
        seed: seed of the sample.
    """
    dim_new, dim_old = new.model.card.dim, gallery.space.dim
    sums = PairSums(dim_new, dim_old, with_new=with_products)
    most = min(len(new.items), gallery.rows.count, SAMPLE_BYTES // (4 * (dim_new + dim_old)))
    sample = _Kept(
        Slots(most, seed),
        {
            "new": np.empty((most, dim_new), np.float32),
            "old": np.empty((most, dim_old), np.float32),
            "places": np.empty(most, np.int64),
            "classes": np.empty(most, np.int64),
        },
    )
    classes = _Classes()
    progress.start(f"joining rows by {gallery.space.name} in gallery {gallery.name}", gallery.rows.count)
    for joined in joined_blocks(gallery, new.items.ids, progress):
        vectors = new.take(joined.places)
        sums.add(torch.from_numpy(vectors), torch.from_numpy(joined.old))
        sample.add(new=vectors, old=joined.old, places=joined.places, classes=classes.of(joined, new.items.labels))
    new.read_rest()
    kept = sample.result()
    numbers = torch.from_numpy(kept["classes"]) if classes.numbers else None
    pairs = PairSample(torch.from_numpy(kept["new"]), torch.from_numpy(kept["old"]), numbers)
    return Collected(sums, pairs, kept["places"], sorted(classes.numbers))


@dataclass(frozen=True)
class _Kept:
    """A uniform sample of a stream of rows, each row spread over several arrays."""

    slots: Slots
    arrays: dict[str, NDArray[Any]]

    def add(self, **rows: NDArray[Any]) -> None:
        """Offer M rows of each array."""
        slots, kept = self.slots.of_next(len(rows["new"]))
        for name, values in rows.items():
            self.arrays[name][slots] = values[kept]

    def result(self) -> dict[str, NDArray[Any]]:
        """The kept rows."""
        return {name: array[: self.slots.filled] for name, array in self.arrays.items()}


class _Classes:
    """Numbers labels in the order in which they first appear."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def of(self, joined: JoinedBlock, of_items: pa.Array | None) -> NDArray[np.int64]:
        """(m,) class of each pair: that of its item's label, or else of its row's; -1 where neither has one."""
        labels = pa.nulls(len(joined.rows), pa.string())
        if joined.block.labels is not None:
            labels = joined.block.labels.take(pa.array(joined.rows))
        if of_items is not None:
            labels = pc.coalesce(of_items.take(pa.array(joined.places)), labels)
        encoded = labels.dictionary_encode()
        for label in encoded.dictionary.to_pylist():
            self.numbers.setdefault(label, len(self.numbers))
        numbers = np.array([*(self.numbers[label] for label in encoded.dictionary.to_pylist()), -1])
        classes: NDArray[np.int64] = numbers[pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)]
        return classes
