"""An overlay filled from items: it encodes the rows of the gallery that have no vector yet."""

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
"""Rows, or seconds, after which a batch is committed: a kill loses no more than that."""


@dataclass(frozen=True)
class Filled:
    """The result of filling an overlay from items.

    Attributes:
        items: number of items.
        no_rows: items that are not rows of the gallery, and were left out.
        added: items that were encoded and added.
        already: items that had a vector of the same content before.
        rows: number of vectors in the overlay afterwards.
        version: the overlay's version afterwards.
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

    They are committed in batches. After a kill, the next run does not encode committed rows again.

    Raises:
        BadInput: the model is the one whose vectors the gallery holds, it does not encode items of this kind, or no
            item is a row of the gallery.
    """
    if model.card.fingerprint == gallery.space.fingerprint:
        raise BadInput(
            f"model {model.card.name}",
            expected=f"a model other than {gallery.space.name}, whose vectors gallery {gallery.name} holds",
            found="that model",
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
