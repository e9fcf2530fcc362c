"""What a check measures with: queries, their vectors by the old model, and items to encode again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.compat.loaded_model import LoadedModel, load_model
from skipfill.store.errors import BadInput
from skipfill.store.galleries import Gallery
from skipfill.store.gallery_rows import StoredRows
from skipfill.store.items import ItemColumns, Items, open_items
from skipfill.store.models import trained_ids
from skipfill.store.objects import Objects
from skipfill.store.vector_column import Matrix


@dataclass(frozen=True)
class CheckInputs:
    """Attributes:
    items: labelled queries that the new model was not trained on.
    gallery_items: items of gallery rows, to measure new/new and the ceiling; those among `items` when empty.
    ceiling: name of an independent model; empty to relate the update gain to new/new.
    """

    items: Sequence[Path]
    gallery_items: Sequence[Path] = ()
    ceiling: str = ""
    columns: ItemColumns = field(default_factory=ItemColumns)


@dataclass(frozen=True)
class Stages:
    """Called as the work goes on, for progress bars."""

    start: Callable[[str, int], None] = lambda what, total: None
    advance: Callable[[int], None] = lambda count: None


def open_queries(
    objects: Objects, gallery: Gallery, model: LoadedModel, inputs: CheckInputs, warnings: list[str]
) -> Items:
    """The items that can be queries: labelled, and not trained on by the model. What is left out is warned of.

    Raises:
        BadInput: no labels among the items or in the gallery, or no item is left.
    """
    items = open_items(inputs.items, inputs.columns)
    if items.labels is None:
        raise BadInput(
            items.where,
            expected="labelled queries (a label column)",
            found="no labels",
            hint="Name the label column with --label COLUMN.",
        )
    if not gallery.rows.columns.label:
        raise BadInput(
            f"gallery {gallery.name}",
            expected="a label column, to know which rows are relevant",
            found="none registered",
            hint=f"Register the files again: skipfill gallery add NAME FILES... --space {gallery.space.name} "
            "--label COLUMN",
        )
    seen = trained_ids(objects, model.card)
    trained = _positions(items.ids, seen) >= 0
    labelled = items.labels.is_valid().to_numpy(zero_copy_only=False)
    if trained.any():
        warnings.append(f"{trained.sum()} queries left out: model {model.card.name} was trained on them")
    if not labelled.all():
        warnings.append(f"{(~labelled).sum()} queries left out: they have no label")
    usable = labelled & ~trained
    if not usable.any():
        raise BadInput(
            items.where,
            expected=f"labelled items that model {model.card.name} was not trained on",
            found="none",
            hint="Keep some items out of the training: skipfill train ... --items TRAIN.parquet",
        )
    return items.restricted(usable, items.labels.filter(pa.array(usable)))


def old_queries(objects: Objects, gallery: Gallery, queries: Items, stages: Stages) -> tuple[Matrix, str]:
    """The queries' vectors by the old model, and where they come from: the stored rows of their ids, or the encoder.

    Raises:
        BadInput: the gallery lacks some of the ids, and the encoder that filled it is not in the store.
    """
    stored = np.zeros((len(queries), gallery.space.dim), np.float32)
    found = np.zeros(len(queries), bool)
    stages.start("looking up stored query vectors", gallery.rows.count)
    for block in gallery.rows.blocks():
        at = _positions(block.ids, queries.ids)
        stored[at[at >= 0]], found[at[at >= 0]] = block.vectors[at >= 0], True
        stages.advance(len(block.ids))
    if found.all():
        return stored, "stored vectors of the queries' ids"
    try:
        old = load_model(objects, gallery.space.name)
    except BadInput as error:
        raise BadInput(
            queries.where,
            expected=f"queries whose ids gallery {gallery.name} stores, since old model {gallery.space.name} is gone",
            found=f"{int((~found).sum())} of {len(queries)} ids that it does not have",
            hint="Choose held-out items that are rows of the gallery.",
        ) from error
    if old.card.fingerprint != gallery.space.fingerprint:
        raise BadInput(
            f"model {old.card.name}",
            expected=f"the encoder that filled the gallery ({gallery.space.fingerprint[:12]})",
            found=f"another ({old.card.fingerprint[:12]})",
        )
    return encoded(old, queries, stages), f"encoded by {old.card.name}"


def encoded(model: LoadedModel, items: Items, stages: Stages) -> Matrix:
    """(N, D) embeddings of all items, in memory."""
    stages.start(f"encoding queries with {model.card.name}", len(items))
    parts = []
    for ids, vectors in model.encode(items):
        parts.append(vectors)
        stages.advance(len(ids))
    return np.concatenate(parts)


def items_of_rows(rows: StoredRows, inputs: CheckInputs) -> Items | None:
    """Items of the gallery's own rows, with the labels stored there; None when there are not two of them."""
    source = open_items(inputs.gallery_items or inputs.items, inputs.columns)
    known = np.zeros(len(source), bool)
    labels = np.full(len(source), None, object)
    for block in rows.blocks():
        at = _positions(block.ids, source.ids)
        known[at[at >= 0]] = True
        if block.labels is not None:
            labels[at[at >= 0]] = np.asarray(block.labels.to_pylist(), object)[at >= 0]
    if known.sum() < 2:
        return None
    return source.restricted(known, pa.array(labels[known], pa.string()))


def _positions(ids: pa.Array, among: pa.Array) -> NDArray[np.int64]:
    """Where each id is in `among`, or -1. Ids of another type are nowhere."""
    if ids.type != among.type:
        return np.full(len(ids), -1, np.int64)
    found = pc.fill_null(pc.index_in(ids, value_set=among), -1).to_numpy(zero_copy_only=False)
    positions: NDArray[np.int64] = found.astype(np.int64)
    return positions
