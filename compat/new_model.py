"""Train a model from items, from nothing or against a stored gallery, and save its bundle."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from safetensors.torch import save
from skipfill.compat.checkpoint import Checkpoints, cpu_has_bf16
from skipfill.compat.encoder import Encoder
from skipfill.compat.encoders import ENCODERS
from skipfill.compat.joined import Joined, join_gallery
from skipfill.compat.loaded_model import LoadedModel, load_model
from skipfill.compat.method import Method, Setting
from skipfill.compat.methods import METHODS
from skipfill.compat.network import Network
from skipfill.compat.prepared import Prepared, prepare_items
from skipfill.compat.training import Schedule, Step, TrainingData, fit
from skipfill.store.errors import BadInput, unknown_name
from skipfill.store.galleries import Gallery, open_gallery
from skipfill.store.items import ItemColumns, Items, open_items
from skipfill.store.models import Card, refuse_taken, save_model
from skipfill.store.objects import Objects
from skipfill.store.versions import View
from torch import Tensor

# Epochs, batch and peak learning rate by input kind; measured on Omniglot, Fashion-MNIST and BANKING77.
DEFAULTS: dict[str, dict[str, Any]] = {
    "image": {"epochs": 20, "batch": 128, "lr": 3e-3},
    "vector": {"epochs": 20, "batch": 256, "lr": 1e-3},
}


@dataclass(frozen=True)
class Recipe:
    """Every setting of a training, resolved; kept in the model card. Zero and empty mean: the default for the input.

    Attributes:
        method: name in the registry.
        dim: dimension of the embedding; 0 for the method's choice.
        epochs, batch, lr, weight_decay, seed: see `Schedule`.
        precision: `auto`, `bf16` or `f32`.
        encoder: settings of the built-in encoder that differ from its defaults.
    """

    method: str
    dim: int = 0
    epochs: int = 0
    batch: int = 0
    lr: float = 0.0
    weight_decay: float = 1e-4
    seed: int = 0
    precision: str = "auto"
    encoder: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Sources:
    """What a model is trained from.

    Attributes:
        items: files of labelled items.
        gallery: name of the stored gallery to be compatible with; empty for none.
        teacher: name of an independent model, for methods that imitate one.
        align: files of items of the gallery, labels not needed and not used.
        hold_out: files with ids whose stored rows must not be used, because they will be queries of a check.
    """

    items: Sequence[Path]
    gallery: str = ""
    teacher: str = ""
    align: Sequence[Path] = ()
    hold_out: Sequence[Path] = ()
    columns: ItemColumns = ItemColumns()


@dataclass(frozen=True)
class Stages:
    """Called as the work goes on, for progress bars: `start(what, total)`, then `advance(n)`, `step` in training."""

    start: Callable[[str, int], None] = lambda what, total: None
    advance: Callable[[int], None] = lambda count: None
    step: Callable[[Step], None] = lambda step: None


def train_model(
    objects: Objects, name: str, recipe: Recipe, sources: Sources, stages: Stages = Stages(), *, restart: bool = False
) -> Card:
    """Train model `name` and save it; a run that was killed goes on from its last epoch.

    Returns:
        The card of the complete model.

    Raises:
        BadInput: see `Must be given` of the method; the name is taken; items that cannot be used.
    """
    refuse_taken(objects, name)
    kind = method_class(recipe.method)
    gallery = _gallery(objects, recipe.method, kind, sources)
    items = open_items(sources.items, sources.columns)
    labels = _labels(items)
    align = open_items(sources.align, sources.columns) if sources.align else None
    held_out = _held_out(sources)
    teacher = _teacher(objects, recipe.method, kind, sources)
    recipe = _resolved(recipe, items)
    classes = _classes(gallery, labels)
    torch.manual_seed(recipe.seed)
    encoder = _encoder(items, recipe)
    checkpoints = Checkpoints(
        objects,
        f"training/{name}/checkpoint.safetensors",
        _digest(recipe, gallery, items, align, held_out, teacher),
        restart=restart,
    )
    # Looked at first: an unfinished run with other settings is refused before any work.
    remaining = recipe.epochs - checkpoints.epochs_done()
    joined: Joined | None = None
    if gallery is not None:
        stages.start(f"joining gallery {gallery.name}", gallery.rows.count)
        joined = join_gallery(gallery, items, classes, align, held_out, recipe.seed, stages.advance)
    setting = Setting(
        features=encoder.width,
        classes=len(classes),
        dim=recipe.dim,
        old=None if joined is None else joined.space,
        teacher=0 if teacher is None else teacher.card.dim,
    )
    method = kind(setting, kind.settings_type())
    _refuse_other_dim(recipe.method, method, gallery)
    _refuse_too_many(method, classes)
    slots = pc.index_in(labels, value_set=pa.array(classes, pa.string())).to_numpy().astype(np.int64)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        stages.start("reading items", len(items))
        prepared = prepare_items(items, encoder, folder, stages.advance)
        data = TrainingData(
            items=prepared,
            labels=torch.from_numpy(slots),
            old=None if joined is None else joined.old,
            has_old=None if joined is None else joined.has_old,
            pool=None if joined is None else joined.pool,
            teacher=None if teacher is None else _taught(teacher, items, stages),
            align=_aligned(align, joined, encoder, folder, stages) if kind.uses_align else None,
        )
        schedule = Schedule(
            recipe.epochs, recipe.batch, recipe.lr, recipe.weight_decay, 4096, 128, recipe.seed, recipe.precision
        )
        stages.start(f"training {name} ({recipe.method})", remaining * len(items))
        losses = fit(encoder, method, data, schedule, checkpoints, stages.step)
    network = Network.trained(encoder, recipe.method, method)
    card = Card(
        name=name,
        method=recipe.method,
        network=network.describe(),
        dim=method.dim,
        views=_views(name, method, gallery),
        classes=classes,
        trained_labels=sorted(set(labels.to_pylist())),
        trained_items=len(items),
        gallery={} if gallery is None else {"name": gallery.name, "version": gallery.version.number},
        recipe=asdict(recipe),
        losses=losses,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    complete = save_model(objects, card, weights(network), items.ids)
    checkpoints.clear()
    return complete


def method_class(name: str) -> type[Method]:
    """The method of this name; `BadInput` naming the nearest ones otherwise."""
    if name not in METHODS:
        raise unknown_name("method", name, METHODS, "See: skipfill methods")
    return METHODS[name]


def _gallery(objects: Objects, name: str, kind: type[Method], sources: Sources) -> Gallery | None:
    if sources.gallery:
        return open_gallery(objects, sources.gallery)
    if kind.needs_gallery:
        raise BadInput(
            f"method {name}",
            expected="a gallery to be compatible with",
            found="none",
            hint="Add --gallery NAME. See: skipfill gallery list",
        )
    return None


def _labels(items: Items) -> pa.Array:
    if items.labels is None or items.labels.null_count:
        missing = len(items) if items.labels is None else items.labels.null_count
        raise BadInput(
            items.where,
            expected="a label for every item to train on",
            found=f"{missing} of {len(items)} items without one",
            hint="Name the label column with --label COLUMN; unlabelled items of the gallery go to --align FILES.",
        )
    return items.labels


def _held_out(sources: Sources) -> pa.Array | None:
    return open_items(sources.hold_out, sources.columns).ids if sources.hold_out else None


def _teacher(objects: Objects, name: str, kind: type[Method], sources: Sources) -> LoadedModel | None:
    if not kind.needs_teacher:
        return None
    if not sources.teacher:
        raise BadInput(
            f"method {name}",
            expected="--teacher MODEL, an independently trained new model",
            found="none",
            hint="Train one first: skipfill train TEACHER --method independent --items FILES",
        )
    return load_model(objects, sources.teacher)


def _resolved(recipe: Recipe, items: Items) -> Recipe:
    given = {name: value for name, value in asdict(recipe).items() if value}
    resolved = Recipe(**{**DEFAULTS[items.kind], **given, "weight_decay": recipe.weight_decay})
    if recipe.precision == "auto":
        bf16 = items.kind == "image" and cpu_has_bf16()
        resolved = replace(resolved, precision="bf16" if bf16 else "f32")
    return resolved


def _classes(gallery: Gallery | None, labels: pa.Array) -> list[str]:
    """Class slots: those of the old space in their order, then the new ones, sorted."""
    before = list(gallery.space.classes) if gallery is not None else []
    return before + sorted(set(labels.to_pylist()) - set(before))


def _encoder(items: Items, recipe: Recipe) -> Encoder:
    kind = next(one for one in ENCODERS.values() if one.takes == items.kind)
    return kind(kind.settings_for(next(items.blocks()), recipe.encoder))


def _refuse_other_dim(name: str, method: Method, gallery: Gallery | None) -> None:
    if gallery is not None and method.view_dim not in (0, gallery.space.dim):
        raise BadInput(
            f"method {name}",
            expected=f"a gallery of dimension {method.view_dim}, made by a model of the same method",
            found=f"dimension {gallery.space.dim} in gallery {gallery.name}",
            hint="Choose another method: skipfill methods",
        )


def _refuse_too_many(method: Method, classes: list[str]) -> None:
    vertices = dict(method.named_buffers()).get("vertices")
    if vertices is not None and len(classes) > len(vertices):
        raise BadInput(
            "method simplex", expected=f"at most {len(vertices)} classes, one a vertex", found=f"{len(classes)}"
        )


def _taught(teacher: LoadedModel, items: Items, stages: Stages) -> Tensor:
    stages.start(f"encoding with teacher {teacher.card.name}", len(items))
    parts = []
    for ids, vectors in teacher.encode(items):
        parts.append(torch.from_numpy(vectors))
        stages.advance(len(ids))
    return torch.cat(parts)


def _aligned(
    align: Items | None, joined: Joined | None, encoder: Encoder, folder: Path, stages: Stages
) -> tuple[Prepared, Tensor, Tensor] | None:
    if align is None or joined is None:
        return None
    stages.start("reading unlabelled items", len(align))
    prepared = prepare_items(align, encoder, folder, stages.advance)
    found = joined.align_found.numpy()
    return Prepared(prepared.items[found]), joined.align_old[found], joined.align_place[found]


def _views(name: str, method: Method, gallery: Gallery | None) -> dict[str, View]:
    views = {name: View(method.dim)}
    if gallery is not None and method.view_dim:
        views[gallery.space.name] = View(method.view_dim)
    return views


def weights(network: Network) -> bytes:
    """A network's weights as safetensors."""
    data: bytes = save({name: value.contiguous() for name, value in network.state_dict().items()})
    return data


def _digest(
    recipe: Recipe,
    gallery: Gallery | None,
    items: Items,
    align: Items | None,
    held_out: pa.Array | None,
    teacher: LoadedModel | None,
) -> str:
    """Of everything that decides the weights."""
    content = hashlib.sha256(json.dumps(asdict(recipe), sort_keys=True).encode())
    content.update((gallery.version.files if gallery else "").encode())
    content.update((teacher.card.fingerprint if teacher else "").encode())
    for column in (items.ids, items.labels, None if align is None else align.ids, held_out):
        content.update(b"-" if column is None else str(column.to_pylist()).encode())
    return content.hexdigest()
