"""Saves a trained or fitted model: its bundle, and the spaces that it searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.inference.network import Network
from skipfill.compat.inference.witness import witness_file
from skipfill.compat.inference.witness_items import witness_items
from skipfill.compat.training.trained_on import TrainedOn
from skipfill.store.models.cards import Card
from skipfill.store.models.files import save_model
from skipfill.store.parquet.items import Items
from skipfill.store.spaces import Space, ensure_space, register_space
from skipfill.store.storage.object_store import ObjectStore


def save_trained(
    objects: ObjectStore,
    card: Card,
    network: Network,
    items: Items,
    trained_on: TrainedOn,
    onto: Sequence[Space],
    files: Mapping[str, bytes] = {},
) -> Card:
    """Save the bundle of a model.

    Args:
        card: its list of files is still empty.
        items: the witness items are made like the first of these.
        onto: the spaces that the model's queries search.
        files: further files of the bundle.

    Returns:
        The complete card.
    """
    for space in onto:
        register_space(objects, space)  # a view is onto a space of this name for ever: the name must stay taken
    weights = network.weights()
    witness = witness_file(LoadedModel(card, network.eval()), witness_items(next(items.blocks())), weights)
    files = {**network.files(), **files, **witness, **trained_on.content.files()}
    complete = save_model(objects, card, weights, trained_on.ids, files)
    for space in onto:
        ensure_space(objects, space)
    return complete
