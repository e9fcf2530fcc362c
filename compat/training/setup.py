"""Builds everything that a training starts with, from a recipe and opened sources."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor, nn

from skipfill.compat.encoders.choice import EncoderChoice
from skipfill.compat.encoders.decoded import decoding_once
from skipfill.compat.encoders.encoder import Encoder
from skipfill.compat.encoders.prepared import prepare_items
from skipfill.compat.inference.encode import encode_all
from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.methods.method import Method, MethodContext
from skipfill.compat.progress import Progress
from skipfill.compat.training.data.coverage import Coverage
from skipfill.compat.training.data.gallery_join import GalleryJoin, join_gallery
from skipfill.compat.training.data.training_data import TrainingData
from skipfill.compat.training.data.unlabelled import read_unlabelled
from skipfill.compat.training.data.validation_split import split_validation
from skipfill.compat.training.loop.checkpoint import Checkpoints
from skipfill.compat.training.loop.distributed import Processes
from skipfill.compat.training.loop.schedule import Watcher
from skipfill.compat.training.loop.task import Task
from skipfill.compat.training.overrides import settled
from skipfill.compat.training.recipe import Recipe
from skipfill.compat.training.sources import OpenedSources
from skipfill.store.errors import Advice, BadInput, Parameter
from skipfill.store.storage.layout import checkpoint_key
from skipfill.store.storage.object_store import ObjectStore


@dataclass(frozen=True)
class Run:
    """The environment of one training.

    Attributes:
        objects: the store.
        name: of the model.
        scratch: folder for temporary files.
    """

    objects: ObjectStore
    name: str
    scratch: Path
    processes: Processes
    progress: Progress
    watcher: Watcher


@dataclass(frozen=True)
class TrainingSetup:
    """Everything that a training starts with.

    Attributes:
        recipe: resolved, with all settings of method and encoder.
        encoder: the encoder of the bundle. If it is frozen, `task` has its features instead of it.
        coverage: of the gallery by the items; None without a gallery.
        task: the training of encoder and method.
        epochs_left: epochs still to do; fewer than the recipe's when a killed run is resumed.
        refit_checkpoints: checkpoints of the refit that may follow.
    """

    recipe: Recipe
    opened: OpenedSources
    encoder: Encoder
    coverage: Coverage | None
    task: Task
    epochs_left: int
    refit_checkpoints: Checkpoints


def set_up(run: Run, recipe: Recipe, choice: EncoderChoice, opened: OpenedSources, *, restart: bool) -> TrainingSetup:
    """Build encoder and method with their first weights, join the gallery, and decode the items.

    Args:
        recipe: resolved.
        restart: delete the checkpoints of a killed run.

    Raises:
        BadInput: the batch is too small, the encoder or method does not fit the items or the gallery, or the killed
            run had other settings or data.
    """
    schedule = recipe.schedule(len(opened.items), run.processes)
    torch.manual_seed(recipe.seed)
    encoder = choice.new(opened.items, recipe.given(choice.name))
    recipe = settled(recipe, opened.settings, choice.name, encoder)
    checkpoints, refit_checkpoints = _checkpoints(run, opened.digest(recipe, encoder), restart=restart)
    # First, so that a killed run with other settings is refused before any work.
    epochs_left = recipe.epochs - checkpoints.epochs_done()
    refit_checkpoints.epochs_done()
    join = _gallery_join(run, opened, recipe.seed)
    method = _method(opened, recipe, encoder, join)
    if opened.start is not None:
        _start_from(opened.start, encoder, method)
    data = _training_data(run, recipe, opened, encoder, join)
    task = Task(encoder, method, data, schedule, checkpoints, run.processes)
    if encoder.frozen:
        task = task.on_features(run.scratch, run.progress)
    coverage = None if join is None else join.coverage
    return TrainingSetup(recipe, opened, encoder, coverage, task, epochs_left, refit_checkpoints)


def _checkpoints(run: Run, digest: str, *, restart: bool) -> tuple[Checkpoints, Checkpoints]:
    """Checkpoints of the training and of the refit; with `restart`, earlier ones are deleted."""
    first, second = (
        Checkpoints(run.objects, checkpoint_key(run.name, stage), digest, restart=restart and run.processes.first)
        for stage in ("checkpoint", "refit")
    )
    run.processes.wait()
    return first, second


def _gallery_join(run: Run, opened: OpenedSources, seed: int) -> GalleryJoin | None:
    """The gallery joined with the items; None without a gallery."""
    if opened.gallery is None:
        return None
    rows = f"rows by {opened.gallery.space.name} in gallery {opened.gallery.name}"
    run.progress.start(f"joining {rows}", opened.gallery.rows.count)
    join = join_gallery(
        opened.gallery,
        opened.items,
        opened.classes,
        unlabelled=opened.unlabelled,
        excluded_ids=opened.excluded_ids,
        seed=seed,
        progress=run.progress.advance,
    )
    if opened.method.has_view():
        run.watcher.joined(join.coverage)
    return join


def _method(opened: OpenedSources, recipe: Recipe, encoder: Encoder, join: GalleryJoin | None) -> Method:
    """The method with its first weights.

    Raises:
        BadInput: its dimensions do not fit those of the gallery.
    """
    context = MethodContext(
        features=encoder.width,
        classes=len(opened.classes),
        dim=recipe.dim,
        old=None if join is None else join.space,
        teacher=0 if opened.teacher is None else opened.teacher.card.dim,
        slots=[opened.slots[label] for label in opened.classes] if opened.slots else (),
    )
    method = opened.method(context, opened.settings)
    if method.dim < method.view_dim:
        raise BadInput(
            f"method {recipe.method}",
            expected=f"at least {method.view_dim} dimensions, as the gallery has, from teacher and extra_dims together",
            found=str(method.dim),
            hint=Advice("teacher_dim", dim=method.view_dim, method=recipe.method),
        )
    gallery = opened.gallery
    if gallery is not None and method.view_dim not in (0, gallery.space.dim):
        raise BadInput(
            f"method {recipe.method}",
            expected=f"a gallery of dimension {method.view_dim}, made by a model of the same method",
            found=f"dimension {gallery.space.dim} in gallery {gallery.name}",
            hint=Advice("choose_method"),
        )
    return method


def _start_from(model: LoadedModel, encoder: Encoder, method: Method) -> None:
    """Copy the weights of `model` into the encoder, and into the head where the two are alike.

    Raises:
        BadInput: the model has another encoder.
    """
    model_encoder, model_head = model.network.encoder, model.network.head
    if type(model_encoder) is not type(encoder) or model_encoder.described() != encoder.described():
        raise BadInput(
            Parameter("start_from", model.card.name),
            expected=f"the encoder of these items, {encoder.described()}",
            found=f"{model_encoder.described()}",
            hint=Advice("start_from_nothing"),
        )
    encoder.load_state_dict(model_encoder.state_dict())
    weights = dict(model_head.named_parameters())  # no buffers: they hold what the head remembers of another gallery
    if type(model_head) is type(method.head) and _shapes(model_head) == _shapes(method.head):
        method.head.load_state_dict(weights, strict=False)


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: parameter.shape for name, parameter in module.named_parameters()}


@decoding_once()  # a teacher encodes the same items
def _training_data(
    run: Run, recipe: Recipe, opened: OpenedSources, encoder: Encoder, join: GalleryJoin | None
) -> TrainingData:
    """Decode the items, and join them with their stored vectors and the teacher's embeddings.

    Raises:
        BadInput: the share of items held out is too small or too large, or an item cannot be decoded.
    """
    class_of_items = pc.index_in(opened.labels, value_set=pa.array(opened.classes, pa.string()))
    labels = torch.from_numpy(class_of_items.to_numpy().astype(np.int64))
    validation = split_validation(labels, recipe.validation, recipe.seed, fewest=run.processes.count)
    run.progress.start("reading items", len(opened.items))
    items = prepare_items(opened.items, encoder, run.scratch, run.progress.advance)
    data = TrainingData(items, labels, teacher=_teacher_embeddings(opened, run.progress), validation=validation)
    if join is None:
        return data
    unlabelled = None
    if opened.unlabelled is not None and join.unlabelled is not None:
        unlabelled = read_unlabelled(
            opened.unlabelled, join.unlabelled, encoder, run.scratch, run.progress, seed=recipe.seed
        )
    return replace(
        data, old=join.items.vectors, has_old=join.items.present, pool=join.space.pool, unlabelled=unlabelled
    )


def _teacher_embeddings(opened: OpenedSources, progress: Progress) -> Tensor | None:
    """(N, D') embeddings of the items as they are, without augmentation; None without a teacher."""
    if opened.teacher is None:
        return None
    return torch.from_numpy(
        encode_all(opened.teacher, opened.items, progress, f"encoding with teacher {opened.teacher.card.name}")
    )
