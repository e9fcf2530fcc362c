"""What a check measures with: queries, their old vectors, items to encode again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.compat.gallery_witness import look_at_gallery, refuse_another_gallery
from skipfill.compat.index_settings import IndexSettings
from skipfill.compat.loaded_model import LoadedModel, load_model
from skipfill.compat.slices import SlicesAsked
from skipfill.compat.stages import Stages
from skipfill.compat.stored_truth import StoredTruth
from skipfill.compat.witness import refuse_changed
from skipfill.store.checks.report import Rule
from skipfill.store.errors import BadInput, NotPermitted
from skipfill.store.galleries.gallery import Gallery
from skipfill.store.parquet.ids import positions
from skipfill.store.parquet.items import ItemColumns, Items, open_items
from skipfill.store.parquet.stored_rows import StoredRows
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.storage.object_store import Objects

TRUTHS = ("labels", "judgements", "reindex")


@dataclass(frozen=True)
class CheckInputs:
    """Attributes:
    items: held-out queries that the new model was not trained on, labelled where labels are the truth.
    gallery_items: items of gallery rows, to measure new/new and the ceiling; those among `items` when empty.
    ceiling: name of an independent model; empty to relate the update gain to new/new.
    truth: one of TRUTHS: rows of the query's label are relevant, judged ones, or the first that a reindex would return.
    judgements: file of them.
    depth: how many of the first rows of a reindex are relevant.
    identity: SQL over the queries; those of one value stand or fall together. Empty: each query for itself.
    slices: further groups of queries.
    index: the index to measure with; None for none.
    thresholds: cut-offs on old scores, to be transferred to new ones.
    threshold_rule: what stays the same: `far`, the share accepted of rows that are not relevant, or `match-rate`.
    """

    items: Sequence[Path]
    gallery_items: Sequence[Path] = ()
    ceiling: str = ""
    truth: str = "labels"
    judgements: Path | None = None
    depth: int = 10
    identity: str = ""
    slices: SlicesAsked = SlicesAsked()
    index: IndexSettings | None = None
    thresholds: Sequence[float] = ()
    threshold_rule: Rule = "far"
    columns: ItemColumns = field(default_factory=ItemColumns)

    @property
    def queries_are_rows(self) -> bool:
        """Whether a row of a query's id is the query itself. Judged queries have ids of their own, as in TREC."""
        return self.truth != "judgements"


def open_queries(
    gallery: Gallery, model: LoadedModel, seen: pa.Array, inputs: CheckInputs, warnings: list[str]
) -> Items:
    """The items that can be queries: not trained on, and labelled where that matters. What is left out is warned of.

    Args:
        seen: ids of the items that the model was trained on.

    Raises:
        BadInput: no labels among the items or in the gallery though they are the truth, or no item is left.
    """
    items = open_items(inputs.items, inputs.columns)
    usable = np.ones(len(items), bool)
    if inputs.truth == "labels":
        _refuse_no_labels(items, gallery)
        assert items.labels is not None
        usable = items.labels.is_valid().to_numpy(zero_copy_only=False)
        if not usable.all():
            warnings.append(f"{(~usable).sum()} queries left out: they have no label")
    trained = positions(items.ids, seen) >= 0
    if trained.any() and inputs.queries_are_rows:
        warnings.append(f"{trained.sum()} queries left out: model {model.card.name} was trained on them")
        usable &= ~trained
    if not usable.any():
        raise BadInput(
            items.where,
            expected=f"items that model {model.card.name} was not trained on"
            + (", labelled" if inputs.truth == "labels" else ""),
            found="none",
            hint="Keep some items out of the training: skipfill train ... --items TRAIN.parquet",
        )
    return items.restricted(usable)


def _refuse_no_labels(items: Items, gallery: Gallery) -> None:
    if items.labels is None:
        raise BadInput(
            items.where,
            expected="labelled queries (a label column)",
            found="no labels",
            hint="Name the label column with --label COLUMN, or give --judgements FILE, or --truth reindex.",
        )
    if not gallery.rows.columns.label:
        raise BadInput(
            f"gallery {gallery.name}",
            expected="a label column, to know which rows are relevant",
            found="none registered",
            hint=f"Register the files again: skipfill gallery add NAME FILES... --space {gallery.space.name} "
            "--label COLUMN; or give --judgements FILE, or --truth reindex.",
        )


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
    if truth.old.all():
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
            found=f"{int((~truth.old).sum())} of {len(queries)} ids that it does not have"
            + (" or has by a later model" if len(gallery.rows_by) > 1 else ""),
            hint="Choose held-out items that are rows of the gallery.",
        ) from error
    if old.card.fingerprint != gallery.space.fingerprint:
        raise BadInput(
            f"model {old.card.name}",
            expected=f"the encoder that filled the gallery ({gallery.space.fingerprint[:12]})",
            found=f"another ({old.card.fingerprint[:12]})",
        )
    refuse_changed(objects, old, warnings)
    rows = queries.restricted(truth.old) if truth.old.any() else None
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
    files = inputs.gallery_items or (inputs.items if inputs.queries_are_rows else ())
    if not files:
        return None
    source = open_items(files, inputs.columns)
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


def units_of(identity: pa.Array | None, vectors: Matrix) -> NDArray[np.int64]:
    """(Q,) which queries stand or fall together: those of one identity, or the very same query asked twice.

    Args:
        identity: (Q,) strings; None where every query is its own. NULL is nobody in particular.
        vectors: (Q, D) the queries' vectors by the new model.
    """
    _, same = np.unique(vectors, axis=0, return_inverse=True)
    same = np.asarray(same, np.int64).reshape(-1)
    if identity is None:
        return same
    codes = identity.dictionary_encode().indices
    named = pc.fill_null(codes, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.where(named >= 0, named, len(identity) + same)
