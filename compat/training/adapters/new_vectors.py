"""The new encoder's vectors of items: streamed in the order of the items, or in any order from a temporary file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skipfill.compat.encoders.vectors import Vectors
from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.progress import Progress
from skipfill.store.errors import BadInput
from skipfill.store.parquet.digests.item_digests import Digests, block_digests
from skipfill.store.parquet.items import Items
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.storage.scratch_array import release_pages, scratch_array


@dataclass
class NewVectors:
    """The new encoder's vectors of N items.

    Vectors that are a column of the items are read again for each pass. Vectors that must be computed are computed
    once, into a file in `scratch`. All vectors go into that file if they are taken in another order than the items'.

    Attributes:
        model: the new encoder, as a model without views onto other spaces.
        digests: of the content of each item read so far, block by block.
    """

    model: LoadedModel
    items: Items
    scratch: Path
    progress: Progress
    digests: list[Digests] = field(default_factory=list)
    _blocks: Iterator[Matrix] = field(init=False)
    _start: int = field(init=False)
    _block: Matrix = field(init=False)
    _all: np.memmap[tuple[int, ...], np.dtype[np.float32]] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.rewind()
        if not isinstance(self.model.network.encoder, Vectors):
            self._keep_all()

    def rewind(self) -> None:
        """Begin again with the first item."""
        self._blocks = self._read()
        self._start, self._block = 0, np.empty((0, self.model.card.dim), np.float32)

    def take(self, places: NDArray[np.int64]) -> Matrix:
        """(M, D) L2-normalised vectors of the items at M places.

        Raises:
            BadInput: an item cannot be encoded, or its vector has no direction.
        """
        if self._all is None and not self._comes_later(places):
            self._keep_all()
        if self._all is None:
            return self._forward(places)
        vectors: Matrix = np.asarray(self._all[places])
        release_pages(self._all)
        return vectors

    def read_rest(self) -> None:
        """Read the remaining items, so that `digests` is complete."""
        if self._all is None:
            for _ in self._blocks:
                pass

    def _comes_later(self, places: NDArray[np.int64]) -> bool:
        """Whether the places ascend and start at or after the current block."""
        return bool(len(places) == 0 or (places[0] >= self._start and (np.diff(places) > 0).all()))

    def _forward(self, places: NDArray[np.int64]) -> Matrix:
        parts = []
        while len(places):
            here = np.searchsorted(places, self._start + len(self._block))
            parts.append(self._block[places[:here] - self._start])
            places = places[here:]
            if len(places):
                self._start += len(self._block)
                self._block = next(self._blocks)
        return np.concatenate(parts) if parts else self._block[:0]

    def _keep_all(self) -> None:
        """Put the vectors of all items into a file."""
        self.progress.start(f"encoding items with {self.model.card.name}", len(self.items))
        self._all = scratch_array(self.scratch, np.float32, (len(self.items), self.model.card.dim))
        self.digests.clear()
        start = 0
        for vectors in self._read():
            self._all[start : start + len(vectors)] = vectors
            start += len(vectors)
            self.progress.advance(len(vectors))
            release_pages(self._all)

    def _read(self) -> Iterator[Matrix]:
        again = len(self.digests) > 0
        for block in self.items.blocks():
            vectors = self.model.encode_block(block)
            _refuse_zero(vectors, block.ids, f"{block.path}, column {self.items.input_column}")
            if not again:
                self.digests.append(block_digests(block))
            yield vectors


def _refuse_zero(vectors: Matrix, ids: pa.Array, where: str) -> None:
    zero = ~vectors.any(axis=1)
    if zero.any():
        raise BadInput(
            where,
            expected="vectors with a direction",
            found=f"a zero vector for item {ids[int(np.flatnonzero(zero)[0])].as_py()!r}",
        )
