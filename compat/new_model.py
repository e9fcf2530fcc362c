"""Train a model from items, from nothing or against a stored gallery, and save its bundle."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from skipfill.compat.aligned import read_aligned, remembered, some_trained
from skipfill.compat.checkpoint import Checkpoints
from skipfill.compat.drawing import TrainingData
from skipfill.compat.encoder import Encoder
from skipfill.compat.encoder_choice import EncoderChoice, chosen_encoder
from skipfill.compat.epochs import Epoch, best_epoch
from skipfill.compat.features_once import Features, as_features
from skipfill.compat.given_settings import checked_settings, refuse_unused, settled
from skipfill.compat.joined import Joined, join_gallery
from skipfill.compat.loaded_model import LoadedModel
from skipfill.compat.made_with import versions
from skipfill.compat.memory import MOST
from skipfill.compat.method import Method, Setting
from skipfill.compat.network import Network
from skipfill.compat.opened_sources import OpenedSources, open_sources
from skipfill.compat.prepared import prepare_items
from skipfill.compat.processes import Processes, connected
from skipfill.compat.recipe import Recipe, Sources
from skipfill.compat.refit import refit
from skipfill.compat.stages import Stages
from skipfill.compat.training import Schedule, fit
from skipfill.compat.validation import held_out
from skipfill.compat.witness import witness_file
from skipfill.compat.witness_items import witness_items
from skipfill.store.errors import BadInput
from skipfill.store.galleries.gallery import Gallery
from skipfill.store.models.cards import LOG, Card, refuse_taken
from skipfill.store.models.files import save_model, trained_ids
from skipfill.store.parquet.ids import union
from skipfill.store.parquet.items import Items
from skipfill.store.spaces import Space, View, ensure_space, register_space
from skipfill.store.storage.object_store import Objects


def train_model(
    objects: Objects, name: str, recipe: Recipe, sources: Sources, stages: Stages = Stages(), *, restart: bool = False
) -> Card:
    """Train model `name` and save it; a run that was killed goes on from its last epoch.

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
        return _train(objects, name, recipe, choice, opened, stages, processes, restart)


def _train(
    objects: Objects,
    name: str,
    recipe: Recipe,
    choice: EncoderChoice,
    opened: OpenedSources,
    stages: Stages,
    processes: Processes,
    restart: bool,
) -> Card:
    schedule = _schedule(recipe, round(len(opened.items) * (1 - recipe.validation)), processes)
    torch.manual_seed(recipe.seed)
    encoder = choice.new(opened.items, recipe.given(choice.name))
    recipe = settled(recipe, opened.settings, choice.name, encoder)
    digest = opened.digest(recipe, encoder)
    checkpoints, of_heads = (
        Checkpoints(objects, f"training/{name}/{file}.safetensors", digest, restart=restart and processes.first)
        for file in ("checkpoint", "heads")
    )
    processes.wait()
    # Looked at first: an unfinished run with other settings is refused before any work.
    remaining = recipe.epochs - checkpoints.epochs_done()
    of_heads.epochs_done()
    device = processes.device(recipe.device)
    joined = _joined(opened, recipe, stages)
    method = _method(opened, recipe, encoder, joined)
    if opened.start is not None:
        _start_from(opened.start, encoder, method)
    with tempfile.TemporaryDirectory() as scratch:
        data = _training_data(opened, encoder, joined, Path(scratch), stages, recipe.seed)
        trained = encoder
        if encoder.frozen:
            data, trained = as_features(data, encoder, device, Path(scratch), stages), Features(encoder)
        chosen_by = held_out(data.labels, recipe.validation, recipe.seed, fewest=processes.count)
        data = replace(data, validation=chosen_by)
        stages.start(f"training {name} ({recipe.method})", remaining * len(data.trained))
        log = fit(trained, method, data, schedule, checkpoints, stages.training, processes)
        if method.refit:
            # Nothing more is drawn of the others.
            data = replace(data, align=None if data.align is None else data.align.first(MOST))
            if not encoder.frozen:
                data, trained = as_features(data, encoder, device, Path(scratch), stages), Features(encoder)
            log = [*log, *refit(trained, method, data, schedule, log, of_heads, stages, processes)]
        best = best_epoch(log).epoch if log else 0
        if method.remembers:
            unlabelled = None if data.align is None else remembered(data.align, trained, stages)
            features = some_trained(data, trained, stages)
            stages.start("remembering the gallery", 1)
            method.remember(features, unlabelled)
            stages.advance(1)
    network = Network.trained(encoder, recipe.method, method)
    gallery = opened.gallery
    for space in opened.onto:
        register_space(objects, space)  # a view is onto a space of this name for ever: the name must stay taken
    card = Card(
        name=name,
        method=recipe.method,
        network=network.describe(),
        dim=method.dim,
        views=_views(name, method, opened.onto),
        classes=opened.classes,
        slots=opened.slots,
        trained_labels=sorted(set(opened.labels.to_pylist())),
        trained_items=len(data.trained),
        gallery={} if gallery is None else _against(gallery),
        recipe={**recipe.recorded(), "versions": versions(network)},
        losses=next((one.losses for one in log if one.epoch == best), {}),
        training=_story(data, log, best, processes),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    if not processes.first:
        return card
    lines = "".join(f"{epoch.line}\n" for epoch in log)
    weights = network.weights()
    witness = witness_file(LoadedModel(card, network.eval()), witness_items(next(opened.items.blocks())), weights)
    files = {**network.files(), LOG: lines.encode(), **witness}
    complete = save_model(objects, card, weights, _seen(objects, opened), files)
    for space in opened.onto:
        ensure_space(objects, space)
    of_heads.clear()
    checkpoints.clear()
    return complete


def _against(gallery: Gallery) -> dict[str, Any]:
    """What was trained against: the rows by the space's own model, which are all but those of a mixed gallery."""
    return {
        "name": gallery.name,
        "version": gallery.version.number,
        "space": gallery.space.name,
        "rows": gallery.rows.count,
    }


def _story(data: TrainingData, log: list[Epoch], best: int, processes: Processes) -> dict[str, Any]:
    """How a training went."""
    held_out = 0 if data.validation is None else len(data.validation)
    return {"epochs": len(log), "best_epoch": best, "held_out": held_out, "processes": processes.count}


def _seen(objects: Objects, opened: OpenedSources) -> pa.Array:
    """Ids that can be no queries of a check: trained on, labelled or not, by it or what it is made from."""
    parts = [opened.items.ids]
    if opened.align is not None:
        parts.append(opened.align.ids)
    parts += [trained_ids(objects, one.card) for one in (opened.teacher, opened.start) if one is not None]
    return union(parts)


def _schedule(recipe: Recipe, items: int, processes: Processes) -> Schedule:
    if recipe.patience and not recipe.validation:
        raise BadInput("--patience", expected="--validation SHARE as well", found="none held out")
    fewest = 2 * recipe.accumulate * processes.count
    shared = f" in each of {fewest // 2} parts" if fewest > 2 else ""
    for where, found in (("--batch", recipe.batch), ("--items", items)):
        if found < fewest and (fewest > 2 or where == "--batch"):
            raise BadInput(
                where,
                expected=f"at least {fewest} items: batch norm has no variance over one{shared}",
                found=str(found),
            )
    return Schedule(
        epochs=recipe.epochs,
        batch=recipe.batch,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        sample=recipe.sample,
        pairs=recipe.pairs,
        seed=recipe.seed,
        precision=recipe.precision,
        accumulate=recipe.accumulate,
        patience=recipe.patience,
        device=recipe.device,
    )


def _joined(opened: OpenedSources, recipe: Recipe, stages: Stages) -> Joined | None:
    if opened.gallery is None:
        return None
    whose = f"rows by {opened.gallery.space.name} in gallery {opened.gallery.name}"
    stages.start(f"joining {whose}", opened.gallery.rows.count)
    return join_gallery(
        opened.gallery,
        opened.items,
        opened.classes,
        opened.align,
        opened.held_out,
        recipe.seed,
        stages.advance,
    )


def _method(opened: OpenedSources, recipe: Recipe, encoder: Encoder, joined: Joined | None) -> Method:
    setting = Setting(
        features=encoder.width,
        classes=len(opened.classes),
        dim=recipe.dim,
        old=None if joined is None else joined.space,
        teacher=0 if opened.teacher is None else opened.teacher.card.dim,
        slots=[opened.slots[label] for label in opened.classes] if opened.slots else (),
    )
    method = opened.method(setting, opened.settings)
    if method.dim < method.view_dim:
        raise BadInput(
            f"method {recipe.method}",
            expected=f"a teacher and extra_dims of {method.view_dim} dimensions together, as the gallery has",
            found=str(method.dim),
            hint=f"Train the teacher with --dim {method.view_dim}, or give --set {recipe.method}.extra_dims=NUMBER.",
        )
    gallery = opened.gallery
    if gallery is not None and method.view_dim not in (0, gallery.space.dim):
        raise BadInput(
            f"method {recipe.method}",
            expected=f"a gallery of dimension {method.view_dim}, made by a model of the same method",
            found=f"dimension {gallery.space.dim} in gallery {gallery.name}",
            hint="Choose another method: skipfill methods",
        )
    return method


def _start_from(model: LoadedModel, encoder: Encoder, method: Method) -> None:
    """Copy the weights of `model` into the encoder, and into the head where the two are alike."""
    there, head = model.network.encoder, model.network.head
    if type(there) is not type(encoder) or there.described() != encoder.described():
        raise BadInput(
            f"--init {model.card.name}",
            expected=f"the encoder of these items, {encoder.described()}",
            found=f"{there.described()}",
            hint="Leave --init away to start from nothing.",
        )
    encoder.load_state_dict(there.state_dict())
    weights = dict(head.named_parameters())  # what it remembers of another gallery is none of them
    own = {name: one.shape for name, one in method.head.named_parameters()}
    if type(head) is type(method.head) and {name: one.shape for name, one in weights.items()} == own:
        method.head.load_state_dict(weights, strict=False)


def _training_data(
    opened: OpenedSources, encoder: Encoder, joined: Joined | None, scratch: Path, stages: Stages, seed: int
) -> TrainingData:
    slots = pc.index_in(opened.labels, value_set=pa.array(opened.classes, pa.string()))
    stages.start("reading items", len(opened.items))
    prepared = prepare_items(opened.items, encoder, scratch, stages.advance)
    labels = torch.from_numpy(slots.to_numpy().astype(np.int64))
    teacher = None if opened.teacher is None else _taught(opened.teacher, opened.items, stages)
    if joined is None:
        return TrainingData(prepared, labels, teacher=teacher)
    align = None
    if opened.align is not None:
        align = read_aligned(opened.align, joined, encoder, scratch, stages, seed=seed)
    return TrainingData(prepared, labels, joined.old, joined.has_old, joined.space.pool, teacher, align)


def _taught(teacher: LoadedModel, items: Items, stages: Stages) -> Tensor:
    """(N, D') embeddings of the clean items: a teacher is imitated on what it sees, not on one augmentation of it."""
    stages.start(f"encoding with teacher {teacher.card.name}", len(items))
    parts = []
    for ids, vectors in teacher.encode(items):
        parts.append(torch.from_numpy(vectors))
        stages.advance(len(ids))
    return torch.cat(parts)


def _views(name: str, method: Method, onto: list[Space]) -> dict[str, View]:
    """Onto its own space, those it was made for, and through these onto the ones before them."""
    views = {name: View(method.dim)}
    for space in onto if method.view_dim else []:
        views[space.name] = View(method.view_dim)
        for earlier, view in space.views.items():
            views.setdefault(earlier, View(method.view_dim).then(view))
    return views
