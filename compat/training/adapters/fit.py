"""Fits a map from a new, frozen encoder onto the space of a stored gallery, and saves both as a model.

The steps, in order: open the pairs (`sources.py`), join them in one pass over the gallery (`collect.py`), leave out
wrong ones (`wrong_pairs.py`), choose a map by held-out retrieval (`choose.py`), write the card, save the bundle.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch

from skipfill.compat.encoders.encoder import Encoder
from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.inference.network import Network
from skipfill.compat.inference.provenance import versions
from skipfill.compat.nn.view_maps import first_coordinates
from skipfill.compat.progress import Progress
from skipfill.compat.training.adapters.choose import Chosen, choose
from skipfill.compat.training.adapters.collect import Collected, collect
from skipfill.compat.training.adapters.enough import Options, options_for
from skipfill.compat.training.adapters.new_vectors import NewVectors
from skipfill.compat.training.adapters.sources import OpenedPairs, open_pairs
from skipfill.compat.training.adapters.wrong_pairs import Judged, without_wrong
from skipfill.compat.training.card import trained_against
from skipfill.compat.training.recipe import Recipe, Sources
from skipfill.compat.training.save import save_trained
from skipfill.compat.training.trained_on import TrainedOn
from skipfill.store.models.cards import Card
from skipfill.store.models.files import TrainedContent
from skipfill.store.parquet.ids import IdSet
from skipfill.store.spaces import View
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.storage.unfinished import scratch_folder


def fit_adapter(objects: ObjectStore, name: str, recipe: Recipe, sources: Sources, progress: Progress) -> Card:
    """Fit a closed-form method, and save model `name`: the new encoder, with its view onto the gallery's space.

    Args:
        name: no model of the store has it; the caller has made sure.
        recipe: its settings are checked already.

    Returns:
        The card of the complete model.

    Raises:
        BadInput: see `open_pairs` and `options_for`.
    """
    opened = open_pairs(objects, recipe, sources)
    encoder = opened.choice.new(opened.items, opened.encoder_settings)
    with scratch_folder() as scratch:
        model = _bare_model(name, recipe.method, encoder)
        new = NewVectors(model, opened.items, scratch, progress)
        collected = _collected(opened, new, recipe.seed, progress)
        options = options_for(opened, collected)
        judged = without_wrong(opened, new, collected, recipe.seed, progress)
        chosen = choose(judged.pairs, options.tried, progress, recipe.seed)
    network = _network(opened, chosen, encoder)
    card = _card(name, recipe, opened, network, chosen, collected.labels, _training(chosen, judged, options))
    digests = TrainedContent.joined([TrainedContent(np.concatenate(new.digests), complete=True)])
    trained_on = TrainedOn(IdSet.of([opened.items.ids]), digests)
    return save_trained(objects, card, network, opened.items, trained_on, [opened.space])


def _bare_model(name: str, method: str, encoder: Encoder) -> LoadedModel:
    """The encoder as a model without views onto other spaces."""
    network = Network(encoder, method, torch.nn.Identity(), None, None)
    network.described_head = {"features": encoder.width}
    card = Card(name, method, network.describe(), encoder.width, {}, [], [], 0, {}, {}, {}, "")
    return LoadedModel(card, network.eval())


def _collected(opened: OpenedPairs, new: NewVectors, seed: int, progress: Progress) -> Collected:
    kinds = opened.adapters.values()
    return collect(
        opened.gallery,
        new,
        progress,
        with_products=any(kind.needs_products for kind in kinds),
        seed=seed,
    )


def _network(opened: OpenedPairs, chosen: Chosen, encoder: Encoder) -> Network:
    """The network of the bundle, with maps onto the gallery's space and, through it, onto earlier spaces."""
    network = Network(encoder, chosen.option.name, torch.nn.Identity(), None, None)
    network.described_head = {"features": encoder.width}
    for space, view in _views(opened, chosen).items():
        network.add_map(space, first_coordinates(chosen.fitted, view.dim))
    return network


def _views(opened: OpenedPairs, chosen: Chosen) -> dict[str, View]:
    """The views onto the gallery's space, and onto the earlier ones that are prefixes of it."""
    view = View(opened.space.dim, chosen.fitted.describe()["kind"])
    by_way = {earlier: view.then(onward) for earlier, onward in opened.space.views.items()}
    return {opened.space.name: view} | {earlier: one for earlier, one in by_way.items() if one is not None}


def _card(
    name: str,
    recipe: Recipe,
    opened: OpenedPairs,
    network: Network,
    chosen: Chosen,
    labels: list[str],
    training: dict[str, Any],
) -> Card:
    """The card of a model that is fitted and not yet saved: it lists no files."""
    option = chosen.option
    return Card(
        name=name,
        method=option.name,
        network=network.describe(),
        dim=network.encoder.width,
        views={name: View(network.encoder.width), **_views(opened, chosen)},
        classes=labels,
        trained_labels=labels,
        trained_items=training["pairs"],
        gallery=trained_against(opened.gallery),
        recipe={
            "method": recipe.method,
            "encoder": str(opened.choice),
            "seed": recipe.seed,
            "settings": {option.name: asdict(option.settings), opened.choice.name: network.encoder.described()},
            "versions": versions(network),
        },
        losses={},
        training=training,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _training(chosen: Chosen, judged: Judged, options: Options) -> dict[str, Any]:
    """The held-out retrieval of the chosen map, the methods that were not tried, and the pairs left out."""
    return {
        "pairs": judged.pairs.sums.count,
        "held_out": chosen.queries,
        **{name: round(value, 4) for name, value in chosen.measured.means().items()},
        "wrong_pairs": judged.wrong,
        "wrong_ids": judged.wrong_ids,
        "related": judged.related,
        "not_tried": options.left_out,
        "built_on": [],
    }
