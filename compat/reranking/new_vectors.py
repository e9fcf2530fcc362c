"""Vectors of candidate rows by a newer model: from an overlay, or encoded now from their items."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.progress import Progress
from skipfill.store.overlays.add import add_rows
from skipfill.store.overlays.overlay import Overlay, open_overlay
from skipfill.store.parquet.digests.item_digests import block_digests, content_digests
from skipfill.store.parquet.ids import positions
from skipfill.store.parquet.items import Items
from skipfill.store.parquet.matching import matched
from skipfill.store.parquet.stored_rows import StoredRows
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.retrieval.products import comparable
from skipfill.store.storage.object_store import ObjectStore

NONE = -1
"""The place of a row that is not in the overlay."""


@dataclass(frozen=True)
class NewVectors:
    """Vectors of n rows by a model, in its own space.

    Attributes:
        ids: (n,) of the rows.
        vectors: (n, D) float32, L2-normalised; zeros where there is none.
        known: (n,) bool, whether there is one.
        from_overlay: (n,) bool, whether it was in the overlay before.
        trusted: (n,) bool, whether it came from the overlay without an item to compare its content with.
        overlay: the overlay before anything was added.
        items_per_second: speed of encoding; None if nothing was encoded.
    """

    ids: pa.Array
    vectors: Matrix
    known: NDArray[np.bool_]
    from_overlay: NDArray[np.bool_]
    trusted: NDArray[np.bool_]
    overlay: Overlay
    items_per_second: float | None

    @property
    def encoded(self) -> NDArray[np.bool_]:
        """(n,) bool, whether it was encoded now."""
        return self.known & ~self.from_overlay


@dataclass(frozen=True)
class NewVectorSource:
    """The sources of new vectors of a gallery's rows.

    Attributes:
        model: encodes items, and names the overlay by its fingerprint.
        items: of rows, by the rows' ids; None for none.
        keep: whether new vectors are added to the overlay, block by block.
        encoded: rows that were encoded before, in the model's own space; None for none.
    """

    objects: ObjectStore
    gallery: str
    model: LoadedModel
    items: Items | None = None
    keep: bool = False
    progress: Progress = Progress()
    encoded: StoredRows | None = None

    def of(self, ids: pa.Array, wanted: NDArray[np.bool_]) -> NewVectors:
        """The vectors of the rows with n ids.

        A vector of the overlay counts only for the content that it was made from: if an item is given and its content
        has changed, it is encoded again.

        Args:
            wanted: (n,) bool, the rows to look for.

        Raises:
            BadInput: the items are not of the kind that the model encodes, or the overlay is damaged.
        """
        card = self.model.card
        overlay = open_overlay(self.objects, self.gallery, card.fingerprint, card.dim)
        stored = np.where(wanted, overlay.places(ids), NONE)
        items = (
            None
            if self.items is None
            else self.items.restricted(positions(self.items.ids, ids.filter(pa.array(wanted))) >= 0)
        )
        at = np.zeros(0, np.int64) if items is None else positions(items.ids, ids)
        if items is not None and len(at):
            stored[at] = overlay.places(items.ids, content_digests(items)) if overlay.rows else NONE
        found = stored != NONE
        vectors = np.zeros((len(ids), card.dim), np.float32)
        if found.any():
            vectors[found] = comparable(overlay.vectors(stored[found]), "cosine")
        known, trusted = found.copy(), found.copy()
        trusted[at] = False
        rate = None
        for match in matched(self.encoded, ids) if self.encoded is not None else ():
            vectors[match.places], known[match.places] = comparable(match.vectors, "cosine"), True
        if items is not None and not found[at].all():
            rate = self._encode(items.restricted(~found[at]), ids, vectors, known, overlay)
        return NewVectors(ids, vectors, known, found, trusted, overlay, rate)

    def _encode(
        self, items: Items, ids: pa.Array, vectors: Matrix, known: NDArray[np.bool_], overlay: Overlay
    ) -> float:
        """Encode items into the vectors of their rows; return the number of items per second."""
        card = self.model.card
        self.model.refuse_other_items(items)
        self.progress.start(f"encoding candidates with {card.name}", len(items))
        seconds = 0.0
        for block in items.blocks():
            began = time.perf_counter()
            made = self.model.encode_block(block)
            seconds += time.perf_counter() - began
            if self.keep:
                digests = block_digests(block)
                overlay = add_rows(
                    self.objects,
                    self.gallery,
                    card.fingerprint,
                    block.ids,
                    digests,
                    made,
                    model=card.name,
                    before=overlay,
                ).overlay
            places = positions(block.ids, ids)
            vectors[places], known[places] = comparable(made, "cosine"), True
            self.progress.advance(len(block.ids))
        return len(items) / max(seconds, 1e-9)
