"""An overlay filled from items: rows of the gallery are encoded that have no vector yet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.progress import Progress
from skipfill.compat.reranking.fresh_vectors import FreshVectors
from skipfill.store.errors import BadInput
from skipfill.store.galleries.gallery import Gallery
from skipfill.store.parquet.digests.item_digests import block_digests
from skipfill.store.parquet.items import Items
from skipfill.store.parquet.matching import matched
from skipfill.store.storage.object_store import ObjectStore

BATCH, SECONDS = 16_384, 20
"""Rows, and time, after which a batch is committed: a kill loses no more."""


@dataclass(frozen=True)
class Filled:
    """The result of filling an overlay from items.

    Attributes:
        items: their number.
        no_rows: those that are no rows of the gallery, and were left out.
        added: encoded and added.
        already: those whose vectors, of the same content, were there.
        rows: of the overlay, afterwards.
        version: of the overlay.
    """

    items: int
    no_rows: int
    added: int
    already: int
    rows: int
    version: int


def fill_overlay(
    objects: ObjectStore, gallery: Gallery, model: LoadedModel, items: Items, progress: Progress
) -> Filled:
    """Encode the items that are rows of a gallery and have no vector of their content, and add them to its overlay.

    They are committed in batches: what a run that was killed had committed is not encoded again.

    Raises:
        BadInput: the model whose vectors the gallery holds, items of another kind than the model encodes, or none that
            is a row of the gallery.
    """
    if model.card.fingerprint == gallery.space.fingerprint:
        raise BadInput(
            f"model {model.card.name}",
            expected=f"another one than {gallery.space.name}, whose vectors gallery {gallery.name} holds",
            found="that one",
        )
    model.refuse_other_items(items)
    are_rows = np.zeros(len(items), np.bool_)
    progress.start(f"reading ids of {gallery.name}", gallery.rows.count)
    for match in matched(gallery.rows.without_vectors(), items.ids):
        are_rows[match.places] = True
        progress.advance(len(match.block.ids))
    if not are_rows.any():
        raise BadInput(
            items.where, expected=f"items whose ids are rows of gallery {gallery.name}", found=f"{len(items):,} others"
        )
    card = model.card
    fresh = FreshVectors(objects, gallery.name, card.fingerprint, card.name, card.dim, BATCH, SECONDS)
    progress.start(f"encoding with {card.name}", int(are_rows.sum()))
    for block in items.restricted(are_rows).blocks():
        digests = block_digests(block)
        new = fresh.overlay.places(block.ids, digests) < 0
        if new.any():
            lacking = block.filter(new)
            fresh.put(lacking.ids, digests[new], model.encode_block(lacking))
            if fresh.due:
                fresh.commit()
        progress.advance(len(block.ids))
    fresh.commit()
    rows = int(are_rows.sum())
    already = rows - fresh.added
    return Filled(len(items), len(items) - rows, fresh.added, already, fresh.overlay.rows, fresh.overlay.version)
