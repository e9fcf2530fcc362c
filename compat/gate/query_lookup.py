"""Lookup of a check's queries in the gallery, in one pass: their stored vectors, and how many rows are relevant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.compat.gate.context import CheckContext
from skipfill.store.galleries.gallery import Gallery
from skipfill.store.galleries.label_agreement import LabelForms, LabelsOfOneId
from skipfill.store.parquet.ids import positions
from skipfill.store.parquet.items import Items
from skipfill.store.parquet.matching import Match
from skipfill.store.parquet.stored_rows import Block
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.retrieval.relevance import Judgements, Relevance


@dataclass(frozen=True)
class QueryLookup:
    """The gallery's knowledge of Q queries.

    Attributes:
        vectors: (Q, d) the stored vectors of their ids, zeros where `present` is False.
        present: (Q,) bool, whether the gallery has the id.
        by_old: (Q,) bool, whether the model of the gallery's space made that row: what a later one made in its view
            is no query vector of the old model.
        relevant: (Q,) how many rows are relevant, the query's own not counted.
        of_trained: (Q,) bool, whether the query is of what the model was trained on: by its label, or, where there
            are no labels, by whether a row relevant to it was.
        has_trained, has_others: whether the gallery has rows of what the model was trained on, and others.
        labels: how well the labels of queries that are rows agree with those of their rows.
        other_forms: label of queries -> label of rows that differs from it in spaces, case or Unicode form alone.
    """

    vectors: Matrix
    present: NDArray[np.bool_]
    by_old: NDArray[np.bool_]
    relevant: NDArray[np.int64]
    of_trained: NDArray[np.bool_]
    has_trained: bool
    has_others: bool
    labels: LabelsOfOneId
    other_forms: dict[str, str]

    def restricted(self, chosen: NDArray[np.bool_]) -> QueryLookup:
        """The same of some of the queries, (Q,) bool."""
        return replace(
            self,
            vectors=self.vectors[chosen],
            present=self.present[chosen],
            by_old=self.by_old[chosen],
            relevant=self.relevant[chosen],
            of_trained=self.of_trained[chosen],
        )


def look_up_queries(context: CheckContext, queries: Items, relevance: Relevance) -> QueryLookup:
    """Read the gallery once and match it with the queries.

    Raises:
        BadInput: rows and queries of one id differ in their label more often than not.
    """
    gallery, trained_labels = context.gallery, context.model.card.trained_labels
    count = len(queries)
    vectors = np.zeros((count, gallery.space.dim), np.float32)
    present, by_old = np.zeros(count, bool), np.zeros(count, bool)
    relevant = np.zeros(count, np.int64)
    trained_rows = rows = 0
    labels, forms = LabelsOfOneId(), LabelForms.of(queries.labels)
    row_ids = queries.ids if context.inputs.queries_are_rows else queries.ids.slice(0, 0)
    context.progress.start("looking up the queries", gallery.rows.count)
    for made_by_old, block in _blocks_by_maker(gallery):
        of_block = relevance.of(block)
        relevant += of_block.counts
        own = Match.of(block, row_ids)
        vectors[own.places], present[own.places], by_old[own.places] = own.vectors, True, made_by_old
        relevant[own.places] -= of_block.pairs(own.places, own.rows)
        if own.labels is not None and queries.labels is not None:
            labels.compare(own.labels, queries.labels.take(pa.array(own.places)))
        trained_rows += _trained_rows(block, trained_labels, context.training_ids)
        forms.look_at(block.labels)
        rows += len(block.ids)
        context.progress.advance(len(block.ids))
    labels.refuse_mostly_different(queries, gallery.name)
    of_trained = _of_trained(context, queries, relevance)
    return QueryLookup(
        vectors, present, by_old, relevant, of_trained, trained_rows > 0, trained_rows < rows, labels, forms.others
    )


def _blocks_by_maker(gallery: Gallery) -> Iterator[tuple[bool, Block]]:
    """The rows, and whether the model of the gallery's space made them."""
    for file, path in zip(gallery.files, gallery.rows.files, strict=True):
        for block in gallery.rows.file_blocks(path):
            yield not file.encoder, block


def _trained_rows(block: Block, trained_labels: Sequence[str], training_ids: pa.Array) -> int:
    """The number of rows that are of what the model was trained on."""
    if block.labels is None or not trained_labels:
        return int((positions(block.ids, training_ids) >= 0).sum())
    return int(pc.sum(pc.is_in(block.labels, value_set=pa.array(trained_labels, pa.string()))).as_py())


def _of_trained(context: CheckContext, queries: Items, relevance: Relevance) -> NDArray[np.bool_]:
    """(Q,) whether each query is of what the model was trained on."""
    trained_labels = context.model.card.trained_labels
    if queries.labels is not None and context.gallery.rows.columns.label and trained_labels:
        among = pc.is_in(queries.labels, value_set=pa.array(trained_labels, pa.string()))
        by_label: NDArray[np.bool_] = among.to_numpy(zero_copy_only=False)
        return by_label
    assert isinstance(relevance, Judgements)
    by_rows = np.zeros(len(queries), bool)
    by_rows[relevance.query[positions(relevance.row, context.training_ids) >= 0]] = True
    return by_rows
