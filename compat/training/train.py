"""Train a model from items, from nothing or against a stored gallery, and save its bundle."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from skipfill.compat.encoders.choice import EncoderChoice, chosen_encoder
from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.inference.network import Network
from skipfill.compat.inference.provenance import versions
from skipfill.compat.inference.witness import witness_file
from skipfill.compat.inference.witness_items import witness_items
from skipfill.compat.progress import Progress
from skipfill.compat.training.card import seen_ids, trained_against, training_story, views_of
from skipfill.compat.training.data.feature_cache import Features, as_features
from skipfill.compat.training.data.unlabelled import remembered, some_trained
from skipfill.compat.training.data.validation_split import held_out
from skipfill.compat.training.loop.checkpoint import Checkpoints
from skipfill.compat.training.loop.distributed import Processes, connected
from skipfill.compat.training.loop.epoch_log import best_epoch
from skipfill.compat.training.loop.fit import fit
from skipfill.compat.training.loop.refit import refit
from skipfill.compat.training.loop.schedule import Watcher
from skipfill.compat.training.overrides import checked_settings, refuse_unused, settled
from skipfill.compat.training.recipe import Recipe, Sources
from skipfill.compat.training.setup import joined_gallery, new_method, schedule_of, start_from, training_data
from skipfill.compat.training.sources import OpenedSources, open_sources
from skipfill.store.models.cards import LOG, Card, refuse_taken
from skipfill.store.models.files import save_model
from skipfill.store.spaces import ensure_space, register_space
from skipfill.store.storage.keys import checkpoint_key
from skipfill.store.storage.object_store import ObjectStore


def train_model(
    objects: ObjectStore,
    name: str,
    recipe: Recipe,
    sources: Sources,
    progress: Progress = Progress(),
    watcher: Watcher = Watcher(),
    *,
    restart: bool = False,
) -> Card:
    """Train model `name` and save it; a run that was killed goes on from its last epoch.

    Args:
        watcher: called after each step, and when an epoch is saved.

    Returns:
        The card of the complete model.

    Raises:
        BadInput: the name is taken, or the sources do not fit the method: see `open_sources`.
    """
    refuse_taken(objects, name)
    recipe = replace(recipe, settings=checked_settings(recipe.settings), presets=checked_settings(recipe.presets))
    opened = open_sources(objects, recipe, sources)
    choice = chosen_encoder(recipe.encoder, opened.items)
    refuse_unused(recipe.settings, [recipe.method, choice.name])
    recipe = recipe.resolved(opened.items.kind, choice)
    with connected(recipe.device) as processes:
        return _train(objects, name, recipe, choice, opened, progress, watcher, processes, restart)


def _train(
    objects: ObjectStore,
    name: str,
    recipe: Recipe,
    choice: EncoderChoice,
    opened: OpenedSources,
    progress: Progress,
    watcher: Watcher,
    processes: Processes,
    restart: bool,
) -> Card:
    schedule = schedule_of(recipe, round(len(opened.items) * (1 - recipe.validation)), processes)
    torch.manual_seed(recipe.seed)
    encoder = choice.new(opened.items, recipe.given(choice.name))
    recipe = settled(recipe, opened.settings, choice.name, encoder)
    digest = opened.digest(recipe, encoder)
    checkpoints, of_heads = (
        Checkpoints(objects, checkpoint_key(name, file), digest, restart=restart and processes.first)
        for file in ("checkpoint", "heads")
    )
    processes.wait()
    # Looked at first: an unfinished run with other settings is refused before any work.
    remaining = recipe.epochs - checkpoints.epochs_done()
    of_heads.epochs_done()
    device = processes.device(recipe.device)
    joined = joined_gallery(opened, recipe, progress)
    method = new_method(opened, recipe, encoder, joined)
    if opened.start is not None:
        start_from(opened.start, encoder, method)
    with tempfile.TemporaryDirectory() as scratch:
        data = training_data(opened, encoder, joined, Path(scratch), progress, recipe.seed)
        trained = encoder
        if encoder.frozen:
            data, trained = as_features(data, encoder, device, Path(scratch), progress), Features(encoder)
        chosen_by = held_out(data.labels, recipe.validation, recipe.seed, fewest=processes.count)
        data = replace(data, validation=chosen_by)
        progress.start(f"training {name} ({recipe.method})", remaining * len(data.trained))
        log = fit(trained, method, data, schedule, checkpoints, watcher, processes)
        if method.refit:
            # Nothing more is drawn of the others.
            data = replace(data, align=None if data.align is None else data.align.first(method.most_remembered))
            if not encoder.frozen:
                data, trained = as_features(data, encoder, device, Path(scratch), progress), Features(encoder)
            log = [*log, *refit(trained, method, data, schedule, log, of_heads, progress, watcher, processes)]
        best = best_epoch(log).epoch if log else 0
        if method.most_remembered:
            most = method.most_remembered
            unlabelled = None if data.align is None else remembered(data.align, trained, most, progress)
            features = some_trained(data, trained, most, progress)
            progress.start("remembering the gallery", 1)
            method.remember(features, unlabelled)
            progress.advance(1)
    network = Network.trained(encoder, recipe.method, method)
    gallery = opened.gallery
    for space in opened.onto:
        register_space(objects, space)  # a view is onto a space of this name for ever: the name must stay taken
    card = Card(
        name=name,
        method=recipe.method,
        network=network.describe(),
        dim=method.dim,
        views=views_of(name, method, opened.onto),
        classes=opened.classes,
        slots=opened.slots,
        trained_labels=sorted(set(opened.labels.to_pylist())),
        trained_items=len(data.trained),
        gallery={} if gallery is None else trained_against(gallery),
        recipe={**recipe.recorded(), "versions": versions(network)},
        losses=next((one.losses for one in log if one.epoch == best), {}),
        training=training_story(data, log, best, processes),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    if not processes.first:
        return card
    lines = "".join(f"{epoch.line}\n" for epoch in log)
    weights = network.weights()
    witness = witness_file(LoadedModel(card, network.eval()), witness_items(next(opened.items.blocks())), weights)
    files = {**network.files(), LOG: lines.encode(), **witness}
    complete = save_model(objects, card, weights, seen_ids(objects, opened), files)
    for space in opened.onto:
        ensure_space(objects, space)
    of_heads.clear()
    checkpoints.clear()
    return complete
