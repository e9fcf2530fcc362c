"""Blends a new model with an old one, which serves the items that the new one is unsure of. Nothing is trained."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.inference.network import Network
from skipfill.compat.inference.witness import read_witness, verified_model, witness_file
from skipfill.compat.training.trained_on import TrainedOn
from skipfill.store.errors import BadInput
from skipfill.store.models.cards import Card, lineage, refuse_taken
from skipfill.store.models.files import save_model
from skipfill.store.storage.object_store import ObjectStore


def blend_models(objects: ObjectStore, name: str, new_name: str, old_name: str) -> Card:
    """Save model `name`: `new_name` with its view onto the space of `old_name` blended with `old_name`, see `Network`.

    The bundle holds the weights of both models, so the old model may be deleted. A query costs two encodings.

    Raises:
        BadInput: the name is taken; one of the two encodes in another way than when it was saved; the new model has
            no view onto the old one's space, or no classifier to tell how sure it is; or the two encode different kinds
            of items.
    """
    refuse_taken(objects, name)
    new, old = verified_model(objects, new_name), verified_model(objects, old_name)
    if old_name not in new.card.views:
        raise BadInput(
            f"model {new_name}",
            expected=f"a view onto the space of {old_name}",
            found=f"views onto {', '.join(new.card.views)}",
            hint=f"Train one against a gallery of {old_name}.",
        )
    new_kind, old_kind = (model.network.encoder.takes for model in (new, old))
    if new_kind != old_kind:
        raise BadInput(
            f"models {new_name} and {old_name}",
            expected="two models of the same items",
            found=f"{new_kind}s and {old_kind}s",
        )
    network = Network.blended(new.network, old.network, new.card.views[old_name].dim)
    card = replace(
        new.card,
        name=name,
        method="blend",
        network=network.describe(),
        views={(name if space == new_name else space): view for space, view in new.card.views.items()},
        recipe={"new": new_name, "old": old_name, "weight": "sqrt(p)"},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        training={**new.card.training, "built_on": sorted(lineage(new.card) | lineage(old.card))},
        files={},
    )
    trained_on = TrainedOn.by_models(objects, new, old)
    weights = network.weights()
    witness = read_witness(objects, new.card) or read_witness(objects, old.card)
    files = {} if witness is None else witness_file(LoadedModel(card, network.eval()), witness.items, weights)
    files = {**network.files(), **files, **trained_on.content.files()}
    return save_model(objects, card, weights, trained_on.ids, files)
