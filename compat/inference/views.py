"""Views: a model's embeddings, in its own space, as vectors of an earlier space."""

from __future__ import annotations

import torch

from skipfill.compat.inference.load import LoadedModel
from skipfill.store.errors import Advice, BadInput, SkipfillError
from skipfill.store.models.cards import view_onto
from skipfill.store.parquet.items import ItemBlock
from skipfill.store.parquet.vectors import Matrix, normalised


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
    if not vectors.any(axis=1).all():
        raise SkipfillError(
            "expected embeddings with a direction in the old space, found a zero vector", Advice("train_slower")
        )
    return normalised(vectors)
