"""What a check measures with: queries, their vectors by the old model, and items to encode again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.compat.gallery_witness import look_at_gallery, refuse_another_gallery
from skipfill.compat.labels_of_one_id import LabelsOfOneId
from skipfill.compat.loaded_model import LoadedModel, load_model
from skipfill.compat.stages import Stages
from skipfill.compat.witness import refuse_changed
from skipfill.store.errors import BadInput, NotPermitted
from skipfill.store.galleries import Gallery
from skipfill.store.gallery_rows import StoredRows
from skipfill.store.ids import positions
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
    trained = positions(items.ids, seen) >= 0
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
    return items.restricted(usable)


@dataclass(frozen=True)
class StoredTruth:
    """What the gallery knows of Q queries.

    Attributes:
        vectors: (Q, d) the stored vectors of their ids, zeros where `found` is False.
        found: (Q,) bool, whether the gallery has the id.
        relevant: (Q,) how many rows have the query's label, its own row not counted.
        holds: whether the gallery has rows of classes that the model was trained on, and of others.
        labels: how well the labels of found queries agree with those of their rows.
    """

    vectors: Matrix
    found: NDArray[np.bool_]
    relevant: NDArray[np.int64]
    holds: tuple[bool, bool]
    labels: LabelsOfOneId

    def restricted(self, chosen: NDArray[np.bool_]) -> StoredTruth:
        """The same of some of the queries."""
        return replace(self, vectors=self.vectors[chosen], found=self.found[chosen], relevant=self.relevant[chosen])


def stored_truth(gallery: Gallery, queries: Items, trained_labels: Sequence[str], stages: Stages) -> StoredTruth:
    """One pass over the gallery.

    Raises:
        BadInput: what shares an id differs in its label more often than not.
    """
    assert queries.labels is not None
    vectors = np.zeros((len(queries), gallery.space.dim), np.float32)
    found = np.zeros(len(queries), bool)
    itself = np.zeros(len(queries), np.int64)
    classes = pc.unique(queries.labels)
    counts = np.zeros(len(classes), np.int64)
    trained, rows = 0, 0
    labels = LabelsOfOneId()
    stages.start("looking up the queries", gallery.rows.count)
    for block in gallery.rows.blocks():
        assert block.labels is not None
        at = positions(block.ids, queries.ids)
        here = at >= 0
        vectors[at[here]], found[at[here]] = block.vectors[here], True
        stored, own = block.labels.filter(pa.array(here)), queries.labels.take(pa.array(at[here]))
        labels.compare(stored, own)
        itself[at[here]] = pc.fill_null(pc.equal(stored, own), False).to_numpy(zero_copy_only=False)
        codes = positions(block.labels, classes)
        counts += np.bincount(codes[codes >= 0], minlength=len(classes))
        trained += pc.sum(pc.is_in(block.labels, value_set=pa.array(trained_labels, pa.string()))).as_py()
        rows += len(block.ids)
        stages.advance(len(block.ids))
    labels.refuse_mostly_different(queries, gallery.name)
    relevant = counts[positions(queries.labels, classes)] - itself
    return StoredTruth(vectors, found, relevant, (trained > 0, trained < rows), labels)


def old_queries(
    objects: Objects,
    gallery: Gallery,
    model: LoadedModel,
    queries: Items,
    truth: StoredTruth,
    inputs: CheckInputs,
    stages: Stages,
    warnings: list[str],
) -> tuple[Matrix, str]:
    """The queries' vectors by the old model, and where they come from: the stored rows of their ids, or the encoder.

    Some stored vectors are compared with what the old model, if it is at hand, makes of their items.

    Raises:
        BadInput: the gallery lacks some of the ids, and the encoder that filled it is not in the store or encodes in
            another way now; or the gallery is not of that encoder.
    """
    if truth.found.all():
        look_at_gallery(objects, gallery, model, queries, warnings)
        return truth.vectors, "stored vectors of the queries' ids"
    try:
        old = load_model(objects, gallery.space.name)
    except NotPermitted:
        raise
    except BadInput as error:
        raise BadInput(
            queries.where,
            expected=f"queries whose ids gallery {gallery.name} stores, since old model {gallery.space.name} is gone",
            found=f"{int((~truth.found).sum())} of {len(queries)} ids that it does not have",
            hint="Choose held-out items that are rows of the gallery.",
        ) from error
    if old.card.fingerprint != gallery.space.fingerprint:
        raise BadInput(
            f"model {old.card.name}",
            expected=f"the encoder that filled the gallery ({gallery.space.fingerprint[:12]})",
            found=f"another ({old.card.fingerprint[:12]})",
        )
    refuse_changed(objects, old, warnings)
    rows = queries.restricted(truth.found) if truth.found.any() else None
    if rows is None and inputs.gallery_items:
        rows = open_items(inputs.gallery_items, inputs.columns)
    refuse_another_gallery(gallery, old, rows, warnings)
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
        at = positions(block.ids, source.ids)
        known[at[at >= 0]] = True
        if block.labels is not None:
            labels[at[at >= 0]] = np.asarray(block.labels.to_pylist(), object)[at >= 0]
    if known.sum() < 2:
        return None
    return source.restricted(known).relabelled(pa.array(labels[known], pa.string()))
