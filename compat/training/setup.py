"""Builds what a training starts from: schedule, method and data, out of a recipe and opened sources."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from skipfill.compat.encoders.encoder import Encoder
from skipfill.compat.encoders.prepared import prepare_items
from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.methods.method import Method, MethodContext
from skipfill.compat.progress import Progress
from skipfill.compat.training.data.gallery_join import GalleryJoin, join_gallery
from skipfill.compat.training.data.training_data import TrainingData
from skipfill.compat.training.data.unlabelled import read_unlabelled
from skipfill.compat.training.loop.distributed import Processes
from skipfill.compat.training.loop.schedule import Schedule
from skipfill.compat.training.recipe import Recipe
from skipfill.compat.training.sources import OpenedSources
from skipfill.store.errors import Advice, BadInput, Parameter
from skipfill.store.parquet.items import Items


def schedule_of(recipe: Recipe, items: int, processes: Processes) -> Schedule:
    if recipe.patience and not recipe.validation:
        raise BadInput(
            Parameter("patience"),
            expected="items held out to judge the epochs by",
            found="none",
            hint=Advice("hold_out_share"),
        )
    fewest = 2 * recipe.accumulate * processes.count
    shared = f" in each of {fewest // 2} parts" if fewest > 2 else ""
    for name, size in (("batch", recipe.batch), ("items", items)):
        if size < fewest and (fewest > 2 or name == "batch"):
            raise BadInput(
                Parameter(name),
                expected=f"at least {fewest} items: batch norm has no variance over one{shared}",
                found=str(size),
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


def joined_gallery(opened: OpenedSources, recipe: Recipe, progress: Progress) -> GalleryJoin | None:
    if opened.gallery is None:
        return None
    whose = f"rows by {opened.gallery.space.name} in gallery {opened.gallery.name}"
    progress.start(f"joining {whose}", opened.gallery.rows.count)
    return join_gallery(
        opened.gallery,
        opened.items,
        opened.classes,
        align=opened.align,
        held_out=opened.held_out,
        seed=recipe.seed,
        progress=progress.advance,
    )


def new_method(opened: OpenedSources, recipe: Recipe, encoder: Encoder, joined: GalleryJoin | None) -> Method:
    setting = MethodContext(
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


def start_from(model: LoadedModel, encoder: Encoder, method: Method) -> None:
    """Copy the weights of `model` into the encoder, and into the head where the two are alike."""
    there, head = model.network.encoder, model.network.head
    if type(there) is not type(encoder) or there.described() != encoder.described():
        raise BadInput(
            Parameter("start_from", model.card.name),
            expected=f"the encoder of these items, {encoder.described()}",
            found=f"{there.described()}",
            hint=Advice("start_from_nothing"),
        )
    encoder.load_state_dict(there.state_dict())
    weights = dict(head.named_parameters())  # what it remembers of another gallery is none of them
    own = {name: one.shape for name, one in method.head.named_parameters()}
    if type(head) is type(method.head) and {name: one.shape for name, one in weights.items()} == own:
        method.head.load_state_dict(weights, strict=False)


def training_data(
    opened: OpenedSources, encoder: Encoder, joined: GalleryJoin | None, scratch: Path, progress: Progress, seed: int
) -> TrainingData:
    slots = pc.index_in(opened.labels, value_set=pa.array(opened.classes, pa.string()))
    progress.start("reading items", len(opened.items))
    prepared = prepare_items(opened.items, encoder, scratch, progress.advance)
    labels = torch.from_numpy(slots.to_numpy().astype(np.int64))
    teacher = None if opened.teacher is None else _taught(opened.teacher, opened.items, progress)
    if joined is None:
        return TrainingData(prepared, labels, teacher=teacher)
    align = None
    if opened.align is not None and joined.align is not None:
        align = read_unlabelled(opened.align, joined.align, encoder, scratch, progress, seed=seed)
    return TrainingData(prepared, labels, joined.items.vectors, joined.items.present, joined.space.pool, teacher, align)


def _taught(teacher: LoadedModel, items: Items, progress: Progress) -> Tensor:
    """(N, D') embeddings of the clean items: a teacher is imitated on what it sees, not on one augmentation of it."""
    progress.start(f"encoding with teacher {teacher.card.name}", len(items))
    parts = []
    for ids, vectors in teacher.encode(items):
        parts.append(torch.from_numpy(vectors))
        progress.advance(len(ids))
    return torch.cat(parts)
