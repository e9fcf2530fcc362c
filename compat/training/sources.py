"""The sources of a training, opened and found fit for its method before any work is done."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa

from skipfill.compat.encoders.encoder import Encoder
from skipfill.compat.inference.load import LoadedModel, load_model
from skipfill.compat.inference.witness import verified_model
from skipfill.compat.methods.method import Method
from skipfill.compat.methods.registry import METHODS
from skipfill.compat.nn.serialization import tensor_bytes
from skipfill.compat.settings import checked
from skipfill.compat.training.class_slots import assigned_slots
from skipfill.compat.training.recipe import Recipe, Sources
from skipfill.store.errors import Advice, BadInput, Parameter, unknown_name
from skipfill.store.galleries.gallery import Gallery, open_gallery
from skipfill.store.models.cards import space_of
from skipfill.store.models.files import trained_ids
from skipfill.store.parquet.fingerprint import fingerprint
from skipfill.store.parquet.ids import positions, union
from skipfill.store.parquet.items import Items, open_items
from skipfill.store.spaces import Space
from skipfill.store.storage.object_store import ObjectStore


@dataclass(frozen=True)
class OpenedSources:
    """Attributes:
    settings: hyperparameters of the method.
    labels: (N,) one for each item, none NULL.
    classes: label of each class: those of the spaces `onto` in their order, then the new ones, sorted.
    slots: class -> vertex, for methods on a simplex.
    gallery: the rows that the model of its space made; those by others are no example of it.
    onto: the spaces that the model is to search: the gallery's, and those of models on the same simplex.
    """

    method: type[Method]
    settings: Any
    gallery: Gallery | None
    items: Items
    labels: pa.Array
    classes: list[str]
    slots: dict[str, int]
    onto: list[Space]
    align: Items | None
    held_out: pa.Array | None
    teacher: LoadedModel | None
    start: LoadedModel | None

    def digest(self, recipe: Recipe, encoder: Encoder) -> str:
        """Of everything that decides the weights, the recipe being resolved: a checkpoint belongs to one digest."""
        version = None if self.gallery is None else self.gallery.version
        facts = [
            asdict(recipe),
            [encoder.described(), encoder.versions()],
            version and [version.files, version.space, version.columns],
            self.teacher and self.teacher.card.fingerprint,
            self.slots,
            self.start and self.start.card.fingerprint,
            [[one.input_column, _prints(one)] for one in (self.items, self.align) if one is not None],
        ]
        content = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for column in (self.items.ids, self.labels, None if self.align is None else self.align.ids, self.held_out):
            content.update(b"-" if column is None else json.dumps(column.to_pylist()).encode())
        if encoder.frozen:  # else the checkpoint has them
            content.update(tensor_bytes(encoder.state_dict()))
        return content.hexdigest()

    def training_ids(self, objects: ObjectStore) -> pa.Array:
        """Ids that may not be queries of a check: items of this training, and of the models that it builds on."""
        parts = [self.items.ids]
        if self.align is not None:
            parts.append(self.align.ids)
        parts += [trained_ids(objects, model.card) for model in (self.teacher, self.start) if model is not None]
        return union(parts)


def open_sources(objects: ObjectStore, recipe: Recipe, sources: Sources) -> OpenedSources:
    """Open everything that `sources` names.

    Raises:
        BadInput: an unknown method, a gallery, teacher or label that the method needs and was not given, or files
            that are not items, or held-out ids of another type than the items'.
    """
    method = recipe.method
    if method not in METHODS:
        raise unknown_name("method", method, METHODS, Advice("see_methods"))
    kind = METHODS[method]
    gallery = _gallery(objects, method, kind, sources)
    if sources.align and (gallery is None or not (kind.needs_gallery or kind.on_simplex)):
        raise BadInput(
            Parameter("align"),
            expected="a gallery whose items they are, and a method with a view onto its space",
            found=f"method {method}" + ("" if gallery is not None else " without a gallery"),
        )
    for option, given, used in (
        ("teacher", sources.teacher, kind.needs_teacher),
        ("dim", recipe.dim, kind.takes_dim),
    ):
        if given and not used:
            raise BadInput(Parameter(option), expected="a method that it has an effect on", found=f"method {method}")
    items = open_items(sources.items, sources.columns)
    held_out = _held_out(sources, items) if sources.hold_out else None
    items = _without(items, held_out)
    labels = _labels(items)
    settings = kind.settings_type(**checked(method, kind.settings_type, recipe.given(method)))
    onto = _onto(objects, method, kind, gallery, sources)
    before = list(dict.fromkeys(label for space in onto for label in space.classes))
    classes = before + sorted(set(labels.to_pylist()) - set(before))
    return OpenedSources(
        method=kind,
        settings=settings,
        gallery=gallery,
        items=items,
        labels=labels,
        classes=classes,
        slots=assigned_slots(classes, onto, settings.classes, settings.slots) if kind.on_simplex else {},
        onto=onto,
        align=_aligned(sources, items, held_out) if sources.align else None,
        held_out=held_out,
        teacher=_teacher(objects, method, kind, sources),
        start=load_model(objects, sources.start_from) if sources.start_from else None,
    )


def _aligned(sources: Sources, items: Items, held_out: pa.Array | None) -> Items:
    """The unlabelled items, read by the column that the labelled ones have their inputs in."""
    align = open_items(sources.align, replace(sources.columns, input=items.input_column))
    if align.kind != items.kind:
        raise BadInput(
            Parameter("align", f"{align.where}, column {align.input_column}"),
            expected=f"inputs of the kind of the labelled items: {items.kind}",
            found=align.kind,
        )
    return _without(align, held_out)


def _held_out(sources: Sources, items: Items) -> pa.Array:
    """The ids that must not be used."""
    queries = open_items(sources.hold_out, sources.columns)
    if queries.ids.type != items.ids.type:
        raise BadInput(
            Parameter("hold_out", queries.where),
            expected=f"ids of the type of the items': {items.ids.type}",
            found=str(queries.ids.type),
            hint="Ids of two types are never the same: leave it away if these are other things than the items.",
        )
    return queries.ids


def _prints(items: Items) -> list[str]:
    return [fingerprint(file, file.parent).footer for file in items.files]


def _without(items: Items, held_out: pa.Array | None) -> Items:
    """The items that are not held out."""
    if held_out is None:
        return items
    kept = positions(items.ids, held_out) < 0
    if not kept.any():
        raise BadInput(items.where, expected="items that are not held out", found="none", hint=Advice("hold_out_fewer"))
    return items if kept.all() else items.restricted(kept)


def _gallery(objects: ObjectStore, name: str, kind: type[Method], sources: Sources) -> Gallery | None:
    if sources.gallery:
        # What a later model made in its view is near what the space's own would have made, and not it.
        return open_gallery(objects, sources.gallery).own_part
    if kind.needs_gallery:
        raise BadInput(
            f"method {name}",
            expected="a gallery to be compatible with",
            found="none",
            hint=Advice("name_gallery"),
        )
    return None


def _onto(
    objects: ObjectStore, name: str, kind: type[Method], gallery: Gallery | None, sources: Sources
) -> list[Space]:
    if sources.slots_of and not kind.on_simplex:
        raise BadInput(
            Parameter("slots_of"),
            expected="a method with class slots: " + ", ".join(one for one, it in METHODS.items() if it.on_simplex),
            found=f"method {name}",
        )
    # The gallery's too: its model's card may know more views than an older release wrote down with the gallery.
    names = [gallery.space.name] if gallery is not None else []
    return [space_of(objects, one) for one in dict.fromkeys([*names, *sources.slots_of])]


def _labels(items: Items) -> pa.Array:
    if items.labels is None or items.labels.null_count:
        missing = len(items) if items.labels is None else items.labels.null_count
        raise BadInput(
            items.where,
            expected="a label for every item to train on",
            found=f"{missing} of {len(items)} items without one",
            hint=Advice("label_items"),
        )
    return items.labels


def _teacher(objects: ObjectStore, name: str, kind: type[Method], sources: Sources) -> LoadedModel | None:
    if not kind.needs_teacher:
        return None
    if not sources.teacher:
        raise BadInput(
            f"method {name}",
            expected="a teacher: an independently trained new model",
            found="none",
            hint=Advice("train_teacher"),
        )
    return verified_model(objects, sources.teacher)
