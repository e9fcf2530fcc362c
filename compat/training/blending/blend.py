"""Blends a new model with the old encoder: a query's vector is a mix of both. Nothing is trained."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.inference.network import Blend, Network
from skipfill.compat.inference.witness import read_witness, verified_model, witness_file
from skipfill.compat.methods.registry import METHODS
from skipfill.compat.training.blending.weight import GUESS, ChosenWeight
from skipfill.compat.training.trained_on import TrainedOn
from skipfill.store.errors import Advice, BadInput
from skipfill.store.models.cards import Card, has_model, lineage, load_card, refuse_taken
from skipfill.store.models.files import save_model
from skipfill.store.spaces import View, space_names
from skipfill.store.storage.object_store import ObjectStore


def blend_models(
    objects: ObjectStore,
    name: str,
    new_name: str,
    old_name: str,
    weight: float | ChosenWeight | None = None,
    *,
    brought: bool = False,
) -> Card:
    """Save model `name`: a copy of `new_name` whose view onto the space of `old_name` is a blend, see `Blend`.

    The bundle holds the old encoder, so that the old model may be deleted. Each query is then encoded twice. If the
    store has no model `old_name`, queries bring their old vectors.

    Args:
        weight: weight of the new query, in (0, 1]. None takes the certainty of the new model's classifier. Without a
            classifier, or with a view that is not a prefix, None takes 0.4, which is a guess.
        brought: whether queries bring the old vectors even if the old encoder is in the store.

    Raises:
        BadInput: the name is taken; one of the two models no longer encodes as when it was saved; the new model has no
            view onto the old one's space, or is a blend itself; or the two encode different kinds of items.
    """
    refuse_taken(objects, name)
    new = verified_model(objects, new_name)
    old = None if brought or not _in_store(objects, old_name) else verified_model(objects, old_name)
    _refuse_unfit(new, old, old_name)
    given = weight.weight if isinstance(weight, ChosenWeight) else weight
    by_certainty = given is None and _has_certainty(new, old_name)
    value = None if by_certainty else GUESS if given is None else given
    blend = Blend(old_name, new.card.views[old_name].dim, value)
    network = Network.blended(new.network, None if old is None else old.network, blend)
    views = {(name if space == new_name else space): view for space, view in new.card.views.items()}
    chosen = weight if isinstance(weight, ChosenWeight) else None
    models = [new, *([old] if old else [])]
    card = replace(
        new.card,
        name=name,
        method="blend",
        network=network.describe(),
        views={**views, old_name: View(blend.dim, "blend")},
        recipe={
            "new": new_name,
            "old": old_name,
            "weight": "sqrt(p)" if value is None else value,
            "weight_by": _reason(given, chosen, by_certainty=by_certainty),
            "old_vectors": "brought with the queries" if old is None else "by the encoder in the bundle",
        },
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        training={**new.card.training, "built_on": sorted(set().union(*(lineage(one.card) for one in models)))},
        files={},
    )
    trained_on = TrainedOn.by_models(objects, *models, queries=chosen.items if chosen else None)
    weights = network.weights()
    witness = next(filter(None, (read_witness(objects, one.card) for one in models)), None)
    files = {} if witness is None else witness_file(LoadedModel(card, network.eval()), witness.items, weights)
    files = {**network.files(), **files, **trained_on.content.files()}
    return save_model(objects, card, weights, trained_on.ids, files)


def _in_store(objects: ObjectStore, old_name: str) -> bool:
    """Whether the old encoder is in the store. If it is not, its space must be.

    Raises:
        BadInput: neither is in the store.
    """
    if not has_model(objects, old_name) and old_name not in space_names(objects):
        load_card(objects, old_name)
    return has_model(objects, old_name)


def _refuse_unfit(new: LoadedModel, old: LoadedModel | None, old_name: str) -> None:
    name = new.card.name
    if old_name not in new.card.views:
        raise BadInput(
            f"model {name}",
            expected=f"a view onto the space of {old_name}",
            found=f"views onto {', '.join(new.card.views)}",
            hint=f"Train one against a gallery of {old_name}.",
        )
    if new.network.old is not None or new.network.blend is not None:
        raise BadInput(f"model {name}", expected="one that is not a blend", found="a blend", hint=Advice("see_models"))
    if old is not None and new.network.encoder.takes != old.network.encoder.takes:
        raise BadInput(
            f"models {name} and {old_name}",
            expected="two models of the same items",
            found=f"{new.network.encoder.takes}s and {old.network.encoder.takes}s",
            hint=Advice("bring_vectors_to_blend"),
        )


def _has_certainty(new: LoadedModel, old_name: str) -> bool:
    """Whether the new model has a classifier whose certainty can be the weight of each query."""
    network = new.network
    layers = METHODS[network.method].class_layers(network.head, network.classifier)
    return new.card.views[old_name].kind == "prefix" and layers is not None


def _reason(given: float | None, chosen: ChosenWeight | None, *, by_certainty: bool) -> str:
    """The reason for the weight, for the card."""
    if chosen is not None:
        best = next(one for one in chosen.grid if (one.new, one.weight) == (chosen.new, chosen.weight))
        change = f"{best.change.mean:+.3f} ({best.change.low:+.3f} to {best.change.high:+.3f})"
        return f"{chosen.queries} queries: {chosen.metric} {best.mean:.3f}, change {change}"
    if by_certainty:
        return "certainty of the classifier"
    return "a guess" if given is None else "given"
