"""The sources of a training, opened and found fit for its method before any work is done."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from skipfill.compat.loaded_model import LoadedModel, load_model
from skipfill.compat.method import Method
from skipfill.compat.methods import METHODS
from skipfill.compat.recipe import Recipe, Sources
from skipfill.compat.settings import checked
from skipfill.store.errors import BadInput, unknown_name
from skipfill.store.galleries import Gallery, open_gallery
from skipfill.store.ids import positions
from skipfill.store.items import Items, open_items
from skipfill.store.objects import Objects
from skipfill.store.parquet_files import fingerprint


@dataclass(frozen=True)
class OpenedSources:
    """Attributes:
    settings: hyperparameters of the method.
    labels: (N,) one for each item, none NULL.
    classes: label of each class slot: those of the old space in their order, then the new ones, sorted.
    """

    method: type[Method]
    settings: Any
    gallery: Gallery | None
    items: Items
    labels: pa.Array
    classes: list[str]
    align: Items | None
    held_out: pa.Array | None
    teacher: LoadedModel | None

    def digest(self, recipe: Recipe) -> str:
        """Of everything that decides the weights, the recipe being resolved: a checkpoint belongs to one digest."""
        version = None if self.gallery is None else self.gallery.version
        facts = [
            asdict(recipe),
            version and [version.files, version.space, version.columns],
            self.teacher and self.teacher.card.fingerprint,
            [[one.input_column, _prints(one)] for one in (self.items, self.align) if one is not None],
        ]
        content = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for column in (self.items.ids, self.labels, None if self.align is None else self.align.ids, self.held_out):
            content.update(b"-" if column is None else json.dumps(column.to_pylist()).encode())
        return content.hexdigest()


def open_sources(objects: Objects, recipe: Recipe, sources: Sources) -> OpenedSources:
    """Open everything that `sources` names.

    Raises:
        BadInput: an unknown method, a gallery, teacher or label that the method needs and was not given, or files
            that are not items.
    """
    method = recipe.method
    if method not in METHODS:
        raise unknown_name("method", method, METHODS, "See: skipfill methods")
    kind = METHODS[method]
    gallery = _gallery(objects, method, kind, sources)
    if sources.align and not (kind.uses_align and gallery is not None):
        raise BadInput(
            "--align",
            expected="a gallery and a method that takes its unlabelled items: "
            + ", ".join(name for name, one in METHODS.items() if one.uses_align),
            found=f"method {method}" + ("" if gallery is not None else " without --gallery"),
        )
    held_out = open_items(sources.hold_out, sources.columns).ids if sources.hold_out else None
    items = _without(open_items(sources.items, sources.columns), held_out)
    labels = _labels(items)
    before = list(gallery.space.classes) if gallery is not None else []
    return OpenedSources(
        method=kind,
        settings=kind.settings_type(**checked(method, kind.settings_type, recipe.given(method))),
        gallery=gallery,
        items=items,
        labels=labels,
        classes=before + sorted(set(labels.to_pylist()) - set(before)),
        align=_without(open_items(sources.align, sources.columns), held_out) if sources.align else None,
        held_out=held_out,
        teacher=_teacher(objects, method, kind, sources),
    )


def _prints(items: Items) -> list[str]:
    return [fingerprint(file, file.parent).footer for file in items.files]


def _without(items: Items, held_out: pa.Array | None) -> Items:
    """The items that are not held out."""
    if held_out is None:
        return items
    kept = positions(items.ids, held_out) < 0
    if not kept.any():
        raise BadInput(items.where, expected="items that are not held out", found="none", hint="Look at --hold-out.")
    return items if kept.all() else items.restricted(kept)


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
