"""One model of two: a new one, and the old encoder for items that the new one knows nothing of. Nothing is trained."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.inference.network import Network
from skipfill.compat.inference.witness import read_witness, verified_model, witness_file
from skipfill.store.errors import BadInput
from skipfill.store.models.cards import Card, refuse_taken
from skipfill.store.models.files import save_model, trained_ids
from skipfill.store.parquet.ids import union
from skipfill.store.storage.object_store import ObjectStore


def blend_models(objects: ObjectStore, name: str, new_name: str, old_name: str) -> Card:
    """Save model `name`: `new_name`, its view onto `old_name`'s space blended with `old_name` (see `Network`).

    The bundle holds the weights of both: the old one's may be deleted afterwards. Queries cost two encodings.

    Raises:
        BadInput: the name is taken; one of the two encodes in another way than when it was saved; the new model has
            no view onto the old one's space, or no classifier that says how sure it is; or the two do not take the
            same items.
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
    kinds = [model.network.encoder.takes for model in (new, old)]
    if kinds[0] != kinds[1]:
        raise BadInput(
            f"models {new_name} and {old_name}",
            expected="two models of the same items",
            found=f"{kinds[0]}s and {kinds[1]}s",
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
        files={},
    )
    seen = [trained_ids(objects, model.card) for model in (new, old)]
    weights = network.weights()
    witness = read_witness(objects, new.card) or read_witness(objects, old.card)
    kept = {} if witness is None else witness_file(LoadedModel(card, network.eval()), witness.items, weights)
    return save_model(objects, card, weights, union(seen), {**network.files(), **kept})
