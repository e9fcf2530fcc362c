"""What a check measures with: queries, what is relevant to them, their old vectors, items to encode again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.compat.gallery_witness import look_at_gallery, refuse_another_gallery
from skipfill.compat.index_settings import IndexSettings
from skipfill.compat.labels_of_one_id import LabelsOfOneId
from skipfill.compat.loaded_model import LoadedModel, load_model
from skipfill.compat.slices import SlicesAsked
from skipfill.compat.stages import Stages
from skipfill.compat.witness import refuse_changed
from skipfill.store.checks import Rule
from skipfill.store.errors import BadInput, NotPermitted
from skipfill.store.galleries import Gallery
from skipfill.store.gallery_rows import Block, StoredRows
from skipfill.store.ground_truth import GroundTruth, Judged
from skipfill.store.ids import positions
from skipfill.store.items import ItemColumns, Items, open_items
from skipfill.store.objects import Objects
from skipfill.store.vector_column import Matrix

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


@dataclass(frozen=True)
class StoredTruth:
    """What the gallery knows of Q queries.

    Attributes:
        vectors: (Q, d) the stored vectors of their ids, zeros where `found` is False.
        found: (Q,) bool, whether the gallery has the id.
        old: (Q,) bool, whether the model of the gallery's space made that row: what a later one made in its view is no
            query vector of the old model.
        relevant: (Q,) how many rows are relevant, the query's own not counted.
        known: (Q,) bool, whether the query is of what the model was trained on: by its label, or, where there are no
            labels, by whether a row relevant to it was.
        holds: whether the gallery has rows of what the model was trained on, and others.
        labels: how well the labels of found queries agree with those of their rows.
    """

    vectors: Matrix
    found: NDArray[np.bool_]
    old: NDArray[np.bool_]
    relevant: NDArray[np.int64]
    known: NDArray[np.bool_]
    holds: tuple[bool, bool]
    labels: LabelsOfOneId

    def restricted(self, chosen: NDArray[np.bool_]) -> StoredTruth:
        """The same of some of the queries."""
        return replace(
            self,
            vectors=self.vectors[chosen],
            found=self.found[chosen],
            old=self.old[chosen],
            relevant=self.relevant[chosen],
            known=self.known[chosen],
        )


def stored_truth(
    gallery: Gallery,
    queries: Items,
    truth: GroundTruth,
    trained_labels: Sequence[str],
    seen: pa.Array,
    stages: Stages,
    *,
    queries_are_rows: bool,
) -> StoredTruth:
    """One pass over the gallery.

    Raises:
        BadInput: what shares an id differs in its label more often than not.
    """
    vectors = np.zeros((len(queries), gallery.space.dim), np.float32)
    found = np.zeros(len(queries), bool)
    old = np.zeros(len(queries), bool)
    relevant = np.zeros(len(queries), np.int64)
    known = _known(queries, gallery, truth, trained_labels, seen)
    trained, rows = 0, 0
    labels = LabelsOfOneId()
    stages.start("looking up the queries", gallery.rows.count)
    for by_old, block in _by_maker(gallery):
        here_truth = truth.of(block)
        relevant += here_truth.counts
        at = positions(block.ids, queries.ids) if queries_are_rows else np.full(len(block.ids), -1)
        here = np.flatnonzero(at >= 0)
        vectors[at[here]], found[at[here]] = block.vectors[here], True
        old[at[here]] = by_old
        relevant[at[here]] -= here_truth.pairs(at[here], here)
        if block.labels is not None and queries.labels is not None:
            labels.compare(block.labels.take(pa.array(here)), queries.labels.take(pa.array(at[here])))
        if block.labels is not None and trained_labels:
            of_trained = pc.is_in(block.labels, value_set=pa.array(trained_labels, pa.string()))
        else:
            of_trained = pa.array(positions(block.ids, seen) >= 0)
        trained += pc.sum(of_trained).as_py()
        rows += len(block.ids)
        stages.advance(len(block.ids))
    labels.refuse_mostly_different(queries, gallery.name)
    return StoredTruth(vectors, found, old, relevant, known, (trained > 0, trained < rows), labels)


def _by_maker(gallery: Gallery) -> Iterator[tuple[bool, Block]]:
    """The rows, and whether the model of the gallery's space made them."""
    for file, path in zip(gallery.files, gallery.rows.files, strict=True):
        for block in gallery.rows.file_blocks(path):
            yield not file.encoder, block


def _known(
    queries: Items, gallery: Gallery, truth: GroundTruth, trained_labels: Sequence[str], seen: pa.Array
) -> NDArray[np.bool_]:
    if queries.labels is not None and gallery.rows.columns.label and trained_labels:
        found = pc.is_in(queries.labels, value_set=pa.array(trained_labels, pa.string()))
        by_label: NDArray[np.bool_] = found.to_numpy(zero_copy_only=False)
        return by_label
    assert isinstance(truth, Judged)
    known = np.zeros(len(queries), bool)
    known[truth.query[positions(truth.row, seen) >= 0]] = True
    return known


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
