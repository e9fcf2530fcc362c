"""One pass over the gallery in its own order: sums over all pairs, a sample of them, and a pool of stored rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from skipfill.compat.methods.adapters.pairs import PairSample, PairSums
from skipfill.compat.progress import Progress
from skipfill.compat.training.adapters.new_vectors import NewVectors
from skipfill.compat.training.data.reservoir import Slots
from skipfill.store.galleries.gallery import Gallery
from skipfill.store.parquet.ids import positions
from skipfill.store.parquet.stored_rows import Block
from skipfill.store.parquet.vectors import Matrix, normalised

SAMPLE_BYTES = 1 << 27  # of pairs in memory
POOL_ROWS = 16_384


@dataclass(frozen=True)
class JoinedBlock:
    """Consecutive rows of the gallery, and which of them are items.

    Attributes:
        vectors: (M, d) L2-normalised stored vectors.
        rows: (m,) positions of those that are items, ascending.
        places: (m,) of these items.
    """

    block: Block
    vectors: Matrix
    rows: NDArray[np.int64]
    places: NDArray[np.int64]


def joined_blocks(gallery: Gallery, ids: pa.Array, progress: Progress) -> Iterator[JoinedBlock]:
    """Stream the gallery and find the items with its ids."""
    following = 0
    for block in gallery.rows.blocks():
        progress.advance(len(block.ids))
        # Most files of pairs are in the gallery's order: then no id has to be looked up.
        if ids.slice(following, len(block.ids)).equals(block.ids):
            places = np.arange(following, following + len(block.ids))
        else:
            places = positions(block.ids, ids)
        rows = np.flatnonzero(places >= 0)
        if len(rows):
            following = int(places[rows[-1]]) + 1
        yield JoinedBlock(block, normalised(block.vectors), rows, places[rows])


@dataclass(frozen=True)
class Collected:
    """The result of the pass.

    Attributes:
        sums: over all pairs.
        sample: pairs in memory, all of them or some at random.
        places: (S,) items of the sample.
        pool: (R, d) stored rows, drawn at random, L2-normalised.
        pool_places: (R,) items of the pool, -1 for rows that are none.
    """

    sums: PairSums
    sample: PairSample
    places: NDArray[np.int64]
    pool: torch.Tensor
    pool_places: NDArray[np.int64]


def collect(
    gallery: Gallery,
    new: NewVectors,
    excluded_ids: pa.Array | None,
    progress: Progress,
    *,
    with_products: bool,
    with_labels: bool,
    seed: int,
) -> Collected:
    """Join the gallery with the items by id, in one pass.

    Args:
        excluded_ids: ids whose rows are not used. No item has one of them.
        with_products: see `PairSums`.
        with_labels: take the class of each pair, from its item or else its row.
        seed: of the sample and the pool.
    """
    dim_new, dim_old = new.model.card.dim, gallery.space.dim
    sums = PairSums(dim_new, dim_old, with_new=with_products)
    most = min(len(new.items), gallery.rows.count, SAMPLE_BYTES // (4 * (dim_new + dim_old)))
    sample = _Kept(most, seed, new=np.empty((most, dim_new), np.float32), old=np.empty((most, dim_old), np.float32))
    sample.arrays["places"] = np.empty(most, np.int64)
    sample.arrays["labels"] = np.full(most, None, object)
    size = min(POOL_ROWS, gallery.rows.count)
    pool = _Kept(size, seed + 1, rows=np.empty((size, dim_old), np.float32), places=np.empty(size, np.int64))
    progress.start(f"joining rows by {gallery.space.name} in gallery {gallery.name}", gallery.rows.count)
    for joined in joined_blocks(gallery, new.items.ids, progress):
        vectors, old = new.take(joined.places), joined.vectors[joined.rows]
        sums.add(torch.from_numpy(vectors), torch.from_numpy(old))
        labels = _labels(joined, new.items.labels) if with_labels else np.full(len(old), None, object)
        sample.add(new=vectors, old=old, places=joined.places, labels=labels)
        places = np.full(len(joined.vectors), -1)
        places[joined.rows] = joined.places
        usable = np.full(len(places), True) if excluded_ids is None else positions(joined.block.ids, excluded_ids) < 0
        pool.add(rows=joined.vectors[usable], places=places[usable])
    new.read_rest()
    kept = sample.result()
    classes = torch.from_numpy(_classes(kept["labels"])) if with_labels else None
    pairs = PairSample(torch.from_numpy(kept["new"]), torch.from_numpy(kept["old"]), classes)
    stored = pool.result()
    return Collected(sums, pairs, kept["places"], torch.from_numpy(stored["rows"]), stored["places"])


class _Kept:
    """A uniform sample of a stream, as several arrays of one length."""

    def __init__(self, size: int, seed: int, **arrays: NDArray[Any]) -> None:
        self.arrays = arrays
        self._slots = Slots(size, seed)

    def add(self, **rows: NDArray[Any]) -> None:
        """Offer M rows of each array."""
        slots, kept = self._slots.of_next(len(next(iter(rows.values()))))
        for name, values in rows.items():
            self.arrays[name][slots] = values[kept]

    def result(self) -> dict[str, NDArray[Any]]:
        """The kept rows."""
        return {name: array[: self._slots.filled] for name, array in self.arrays.items()}


def _labels(joined: JoinedBlock, of_items: pa.Array | None) -> NDArray[np.object_]:
    """(m,) label of each pair: that of its item, or else of its row; None for none."""
    labels = pa.nulls(len(joined.rows), pa.string())
    if joined.block.labels is not None:
        labels = joined.block.labels.take(pa.array(joined.rows))
    if of_items is not None:
        labels = pc.coalesce(of_items.take(pa.array(joined.places)), labels)
    return np.asarray(labels.to_numpy(zero_copy_only=False), object)


def _classes(labels: NDArray[Any]) -> NDArray[np.int64]:
    """(S,) a number for each label; -1 for none."""
    encoded = pa.array(labels.tolist(), pa.string()).dictionary_encode().indices
    numbers: NDArray[np.int64] = pc.fill_null(encoded, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers
