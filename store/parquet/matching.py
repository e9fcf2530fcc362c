"""Stored rows matched with a list of ids, for lookups. (A training joins every row: see `gallery_join`.)"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skipfill.store.engine.engine import LOCAL, Engine, Progress
from skipfill.store.parquet.ids import positions
from skipfill.store.parquet.parts import map_rows
from skipfill.store.parquet.stored_rows import Block, StoredRows
from skipfill.store.parquet.vectors import Matrix


@dataclass(frozen=True)
class Match:
    """The rows of one block whose ids are in a list.

    Attributes:
        block: N consecutive rows.
        rows: (M,) int64, ascending positions in the block.
        places: (M,) int64, positions of the same ids in the list.
    """

    block: Block
    rows: NDArray[np.int64]
    places: NDArray[np.int64]

    @classmethod
    def of(cls, block: Block, ids: pa.Array) -> Match:
        """Match one block with `ids`, which are unique; ids of another type match nothing."""
        places = positions(block.ids, ids)
        rows = np.flatnonzero(places >= 0)
        return cls(block, rows, places[rows])

    @property
    def vectors(self) -> Matrix:
        """(M, D) float32 vectors of the matched rows."""
        return self.block.vectors[self.rows]

    @property
    def labels(self) -> pa.Array | None:
        """(M,) string labels of the matched rows, with NULLs; None where the rows have no label column."""
        return None if self.block.labels is None else self.block.labels.take(pa.array(self.rows))


def matched(rows: StoredRows, ids: pa.Array) -> Iterator[Match]:
    """Stream the rows and match each block with `ids`, which are unique.

    Every block comes, even without a match, so that a caller can count rows or look at the others.
    """
    return (Match.of(block, ids) for block in rows.blocks())


def stored_vectors(rows: StoredRows, ids: pa.Array, engine: Engine = LOCAL) -> Matrix:
    """(N, D) the stored vectors of N ids, which are unique; zeros for those that are not rows."""
    vectors = np.zeros((len(ids), rows.dim), np.float32)
    for places, found in map_rows(_matches, rows, ids, engine):
        vectors[places] = found
    return vectors


def _matches(rows: StoredRows, ids: pa.Array, progress: Progress) -> tuple[NDArray[np.int64], Matrix]:
    """Positions in the list of those of these ids that are rows, and their vectors."""
    places, vectors = [np.empty(0, np.int64)], [np.empty((0, rows.dim), np.float32)]
    for match in matched(rows, ids):
        places.append(match.places)
        vectors.append(match.vectors)
    return np.concatenate(places), np.concatenate(vectors)
