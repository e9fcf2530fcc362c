"""Opens the sources of a training, and refuses those that do not fit the method before any work is done."""

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
from skipfill.compat.methods.registry import TRAINED
from skipfill.compat.nn.serialization import tensor_bytes
from skipfill.compat.settings import checked
from skipfill.compat.training.class_slots import assigned_slots
from skipfill.compat.training.recipe import Recipe, Sources
from skipfill.store.errors import Advice, BadInput, Parameter, unknown_name
from skipfill.store.galleries.gallery import Gallery, open_gallery
from skipfill.store.models.cards import space_of
from skipfill.store.parquet.digests.fingerprint import fingerprint
from skipfill.store.parquet.ids import positions
from skipfill.store.parquet.items import Items, open_items
from skipfill.store.parquet.pinned import PinnedFile
from skipfill.store.spaces import Space
from skipfill.store.storage.object_store import ObjectStore


@dataclass(frozen=True)
class OpenedSources:
    """Everything that a training reads, opened.

    Attributes:
        settings: hyperparameters of the method.
        gallery: only the rows made by the model of its space. Rows of other models are not examples of the space.
        items: labelled items, without those held out.
        labels: (N,) label of each item, none NULL.
        classes: label of each class: those of the spaces `onto` in their order, then the new ones, sorted.
        slots: class -> vertex, for methods on a simplex; empty for others.
        onto: the spaces that the model is to search: the gallery's, and those of models on the same simplex.
        unlabelled: items of the gallery without labels, without those held out.
        excluded_ids: ids that must not be used: those held out.
        teacher: the model to imitate.
        start: the model whose weights the training starts from.
    """

    method: type[Method]
    settings: Any
    gallery: Gallery | None
    items: Items
    labels: pa.Array
    classes: list[str]
    slots: dict[str, int]
    onto: list[Space]
    unlabelled: Items | None
    excluded_ids: pa.Array | None
    teacher: LoadedModel | None
    start: LoadedModel | None

    @property
    def builds_on(self) -> list[LoadedModel]:
        """The models that this training imitates or starts from."""
        return [model for model in (self.teacher, self.start) if model is not None]

    def digest(self, recipe: Recipe, encoder: Encoder) -> str:
        """SHA-256 of everything that decides the weights. A checkpoint is resumed only if its digest is the same.

        Args:
            recipe: resolved.
        """
        version = None if self.gallery is None else self.gallery.version
        facts = [
            asdict(recipe),
            [encoder.described(), encoder.versions()],
            version and [version.files, version.space, version.columns],
            self.teacher and self.teacher.card.fingerprint,
            self.slots,
            self.start and self.start.card.fingerprint,
            [[items.input_column, _footers(items)] for items in (self.items, self.unlabelled) if items is not None],
        ]
        content = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for column in (
            self.items.ids,
            self.labels,
            None if self.unlabelled is None else self.unlabelled.ids,
            self.excluded_ids,
        ):
            content.update(b"-" if column is None else json.dumps(column.to_pylist()).encode())
        if encoder.frozen:  # other encoders have their weights in the checkpoint
            content.update(tensor_bytes(encoder.state_dict()))
        return content.hexdigest()


def open_sources(objects: ObjectStore, recipe: Recipe, sources: Sources) -> OpenedSources:
    """Open everything that `sources` names.

    Raises:
        BadInput: an unknown method; a gallery, teacher or label that the method needs is missing; an input has no
            effect on the method; files do not hold items; or held-out ids are of another type than the items'.
    """
    name = recipe.method
    if name not in TRAINED:
        raise unknown_name("method", name, TRAINED, Advice("see_methods"))
    method = TRAINED[name]
    gallery = opened_gallery(objects, name, sources)
    _refuse_without_effect(recipe, sources)
    items = open_items(sources.items, sources.columns)
    excluded_ids = held_out_ids(sources, items) if sources.hold_out else None
    items = without(items, excluded_ids)
    labels = _labels(items, sources.columns.label)
    settings = method.settings_type(**checked(name, method.settings_type, recipe.given(name)))
    onto = _spaces_to_search(objects, gallery, sources)
    old_classes = list(dict.fromkeys(label for space in onto for label in space.classes))
    classes = old_classes + sorted(set(labels.to_pylist()) - set(old_classes))
    return OpenedSources(
        method=method,
        settings=settings,
        gallery=gallery,
        items=items,
        labels=labels,
        classes=classes,
        slots=assigned_slots(classes, onto, settings.classes, settings.slots) if method.on_simplex else {},
        onto=onto,
        unlabelled=_unlabelled_items(sources, items, excluded_ids) if sources.align else None,
        excluded_ids=excluded_ids,
        teacher=_teacher(objects, name, sources),
        start=load_model(objects, sources.start_from) if sources.start_from else None,
    )


def _refuse_without_effect(recipe: Recipe, sources: Sources) -> None:
    """Raise `BadInput` for an input that has no effect on the method."""
    name, method = recipe.method, TRAINED[recipe.method]
    if sources.align and not (sources.gallery and method.has_view()):
        raise BadInput(
            Parameter("align"),
            expected="a gallery that stores these items, and a method with a view onto its space",
            found=f"method {name}" + ("" if sources.gallery else " without a gallery"),
        )
    for parameter, value, used in (
        ("teacher", sources.teacher, method.needs_teacher),
        ("dim", recipe.dim, method.takes_dim),
    ):
        if value and not used:
            raise BadInput(Parameter(parameter), expected="a method that uses it", found=f"method {name}")
    if sources.slots_of and not method.on_simplex:
        with_slots = ", ".join(other for other, kind in TRAINED.items() if kind.on_simplex)
        raise BadInput(
            Parameter("slots_of"), expected=f"a method with class slots: {with_slots}", found=f"method {name}"
        )


def opened_gallery(objects: ObjectStore, method: str, sources: Sources) -> Gallery | None:
    """The gallery, without rows that later models made."""
    if sources.gallery:
        # Rows of later models lie near those that the space's own model would have made, but are not the same.
        return open_gallery(objects, sources.gallery).own_part
    if TRAINED[method].needs_gallery:
        raise BadInput(
            f"method {method}",
            expected="a gallery to be compatible with",
            found="none",
            hint=Advice("name_gallery"),
        )
    return None


def _unlabelled_items(sources: Sources, items: Items, excluded_ids: pa.Array | None) -> Items:
    """The unlabelled items, with their inputs in the same column as those of the labelled items."""
    align = open_items(sources.align, replace(sources.columns, input=items.input_column))
    if align.kind != items.kind:
        raise BadInput(
            Parameter("align", f"{align.where}, column {align.input_column}"),
            expected=f"inputs of the same kind as in the labelled items: {items.kind}",
            found=align.kind,
        )
    return without(align, excluded_ids)


def held_out_ids(sources: Sources, items: Items) -> pa.Array:
    """The ids that must not be used."""
    queries = open_items(sources.hold_out, sources.columns)
    if queries.ids.type != items.ids.type:
        raise BadInput(
            Parameter("hold_out", queries.where),
            expected=f"ids of type {items.ids.type}, as in the items",
            found=str(queries.ids.type),
            hint="Ids of different types never match. If these files hold other items, leave them out.",
        )
    return queries.ids


def _footers(items: Items) -> list[str]:
    """A fingerprint of each file, by its footer."""
    return [fingerprint(PinnedFile(file), file.parent).footer for file in items.files]


def without(items: Items, excluded_ids: pa.Array | None) -> Items:
    """The items that are not held out."""
    if excluded_ids is None:
        return items
    kept = positions(items.ids, excluded_ids) < 0
    if not kept.any():
        raise BadInput(items.where, expected="items that are not held out", found="none", hint=Advice("hold_out_fewer"))
    return items if kept.all() else items.restricted(kept)


def _spaces_to_search(objects: ObjectStore, gallery: Gallery | None, sources: Sources) -> list[Space]:
    """The gallery's space and those whose class slots are kept, each as its model's card describes it now."""
    # Read the card for the gallery's space too: it may list more views than an older release recorded with the gallery.
    names = [gallery.space.name] if gallery is not None else []
    return [space_of(objects, name) for name in dict.fromkeys([*names, *sources.slots_of])]


def _labels(items: Items, column: str) -> pa.Array:
    """(N,) labels, none NULL.

    Raises:
        BadInput: an item has no label.
    """
    if items.labels is None or items.labels.null_count:
        missing = len(items) if items.labels is None else items.labels.null_count
        raise BadInput(
            items.where,
            expected="a label for every item to train on",
            found=items.lacks(column) or f"{missing} of {len(items)} items without one",
            hint=Advice("label_items"),
        )
    return items.labels


def _teacher(objects: ObjectStore, method: str, sources: Sources) -> LoadedModel | None:
    """The model to imitate, verified to encode as when it was saved; None for methods without a teacher."""
    if not TRAINED[method].needs_teacher:
        return None
    if not sources.teacher:
        raise BadInput(
            f"method {method}",
            expected="a teacher: an independently trained new model",
            found="none",
            hint=Advice("train_teacher"),
        )
    return verified_model(objects, sources.teacher)
