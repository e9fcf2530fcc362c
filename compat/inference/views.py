"""Views: a model's embeddings, in its own space, as vectors of an earlier space."""

from __future__ import annotations

import numpy as np
import torch

from skipfill.compat.inference.load import LoadedModel
from skipfill.store.errors import Advice, BadInput, SkipfillError
from skipfill.store.models.cards import view_onto
from skipfill.store.parquet.items import ItemBlock
from skipfill.store.parquet.vectors import Matrix, normalised

FEWEST_COMPARED, MOST_COMPARED = 64, 512
"""Fewest different vectors, and most vectors, of brought ones that are compared with the model's own."""
LEAST_NEARER = 0.25
"""Least lead in standard deviations. Queries of BANKING77 between TF-IDF + SVD and MiniLM have 3.8 to 6.5, and at least
0.5 where 32 of one topic come together and the new encoder is the better one. Shuffled or turned, 512 have at most
0.15."""


def viewed(model: LoadedModel, embeddings: Matrix, space: str, old: Matrix | None = None) -> Matrix:
    """(N, D) embeddings in the model's own space -> (N, d) L2-normalised vectors in `space`.

    Args:
        old: (N, d) the old encoder's vectors of the same items, which a blend mixes in; other views need none.

    Raises:
        BadInput: the model has no view onto that space, or old vectors are missing or of another dimension.
        SkipfillError: an embedding has no direction there.
    """
    blend = model.network.blend
    vectors = own_view(model, embeddings, space)
    if blend is None or blend.space != space:
        return vectors
    if old is not None and old.shape == vectors.shape:
        _refuse_of_other_items(model, vectors, old)
    if old is None or old.shape != vectors.shape:
        raise BadInput(
            f"model {model.card.name}",
            expected=f"the vector of each item by the encoder of {space}, dimension {blend.dim}, which it blends in",
            found="none" if old is None else f"dimension {old.shape[1]}",
            hint=Advice("bring_vectors_to_blend"),
        )
    with torch.inference_mode():
        certainty = model.network.certainty(torch.from_numpy(embeddings)) if blend.weight is None else None
        mixed: Matrix = blend.mixed(torch.from_numpy(vectors), torch.from_numpy(normalised(old)), certainty).numpy()
    return mixed


def _refuse_of_other_items(model: LoadedModel, mapped: Matrix, old: Matrix) -> None:
    """Refuse brought vectors that have nothing to do with the items: of another space, or in another order.

    A map that was fitted to the old space brings an item nearer to its own old vector than to those of other items.

    Args:
        mapped: (N, d) by the model's own view, L2-normalised.
        old: (N, d) those that came with the items.

    Raises:
        BadInput: of 64 different vectors or more, that is not so.
    """
    blend = model.network.blend
    fitted = blend is not None and blend.space in model.network.maps_by_space and model.card.training.get("related")
    if blend is None or model.network.old is not None or not fitted:
        return
    some, places = np.unique(normalised(old[:MOST_COMPARED]), axis=0, return_index=True)
    if len(some) < FEWEST_COMPARED:
        return
    nearer = (mapped[places] * (some - some.mean(axis=0))).sum(axis=1)
    if nearer.mean() <= LEAST_NEARER * nearer.std():
        raise BadInput(
            f"old vectors for model {model.card.name}",
            expected=f"the vector of each item by the encoder of {blend.space}, which it blends in",
            found=f"others: the {len(some)} looked at are no nearer to their own items than to other ones",
            hint=Advice("bring_vectors_of_the_space", space=blend.space),
        )


def view_of_block(model: LoadedModel, block: ItemBlock, space: str) -> Matrix:
    """(N, d) L2-normalised vectors of a block of items in `space`: see `viewed`."""
    return viewed(model, model.encode_block(block), space, old_vectors(model, block))


def old_vectors(model: LoadedModel, block: ItemBlock) -> Matrix | None:
    """(N, d) vectors of items by the old encoder of a blend, or brought with the items; None where there are none.

    Raises:
        SkipfillError: a vector of the old encoder is not finite.
    """
    old = model.old_model
    return block.old_vectors if old is None else old.encode_block(block)


def own_view(model: LoadedModel, embeddings: Matrix, space: str) -> Matrix:
    """As `viewed`, but without what a blend mixes in."""
    view, view_map = view_onto(model.card, space), model.network.maps_by_space.get(space)
    if view_map is None:
        vectors = embeddings[:, : view.dim]
    else:
        with torch.inference_mode():
            vectors = view_map.mapped(torch.from_numpy(embeddings)).numpy()
        if not np.isfinite(vectors).all():
            raise SkipfillError(
                f"model {model.card.name}: expected a map onto space {space} that gives finite vectors, found others",
                f"Restore the bundle in models/{model.card.name}/, or fit the map again.",
            )
    if not vectors.any(axis=1).all():
        raise SkipfillError(
            "expected embeddings with a direction in the old space, found a zero vector", Advice("train_slower")
        )
    return normalised(vectors)
