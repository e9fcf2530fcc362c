"""Views: a model's embeddings, in its own space, as vectors of an earlier space."""

from __future__ import annotations

import torch

from skipfill.compat.inference.load import LoadedModel
from skipfill.store.errors import Advice, SkipfillError
from skipfill.store.models.cards import view_onto
from skipfill.store.parquet.vectors import Matrix, normalised


def viewed(model: LoadedModel, embeddings: Matrix, space: str) -> Matrix:
    """(N, D) embeddings in the model's own space -> (N, d) L2-normalised vectors in `space`.

    Raises:
        BadInput: the model has no view onto that space.
        SkipfillError: an embedding has no direction there.
    """
    view, view_map = view_onto(model.card, space), model.network.maps_by_space.get(space)
    if view_map is None:
        prefix = embeddings[:, : view.dim]
        _refuse_without_direction(prefix)
        return normalised(prefix)
    with torch.inference_mode():
        vectors: Matrix = view_map.mapped(torch.from_numpy(embeddings)).numpy()
    _refuse_without_direction(vectors)
    return normalised(vectors)


def _refuse_without_direction(vectors: Matrix) -> None:
    if not vectors.any(axis=1).all():
        raise SkipfillError(
            "expected embeddings with a direction in the old space, found a zero vector", Advice("train_slower")
        )
