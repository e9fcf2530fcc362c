"""Lookup of a check's queries in the gallery: their stored vectors, and how many rows are relevant."""

from __future__ import annotations

from collections.abc import Iterator
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
from skipfill.store.parquet.matching import Match, stored_vectors
from skipfill.store.parquet.stored_rows import Block
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.retrieval.relevance import Judgements, Relevance


@dataclass(frozen=True)
class QueryLookup:
    """Results of looking up Q queries in the gallery.

    Attributes:
        vectors: (Q, d) the stored vectors of their ids, zeros where `present` is False.
        present: (Q,) bool, whether the query is a row: the gallery has its id. Judged queries never are.
        by_old: (Q,) bool, whether the model of the gallery's space made that row: a vector that a later
            model made in its view is not a query vector of the old model.
        relevant: (Q,) how many rows are relevant, the query's own not counted.
        of_trained: (Q,) bool, whether the query belongs to what the model was trained on: by its label, or, where it
            has none, by whether a row relevant to it does.
        has_trained, has_others: whether the gallery has rows of what the model was trained on, and others: by their
            labels, or, where there are none, by their ids.
        other_label: (Q,) bool, whether the gallery's row of the same id has another label.
        other_forms: label of queries -> label of rows that differs from it in spaces, case or Unicode form alone.
    """

    vectors: Matrix
    present: NDArray[np.bool_]
    by_old: NDArray[np.bool_]
    relevant: NDArray[np.int64]
    of_trained: NDArray[np.bool_]
    has_trained: bool
    has_others: bool
    other_label: NDArray[np.bool_]
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
            other_label=self.other_label[chosen],
        )


def look_up_queries(context: CheckContext, queries: Items, relevance: Relevance) -> QueryLookup:
    """Read the gallery's ids and labels and match them with the queries; then the vectors of those that are rows.

    Raises:
        BadInput: rows and queries of one id differ in their label more often than not.
    """
    gallery = context.gallery
    count = len(queries)
    vectors = np.zeros((count, gallery.space.dim), np.float32)
    present, by_old, other_label = (np.zeros(count, bool) for _ in range(3))
    relevant = np.zeros(count, np.int64)
    trained = _Trained(context, queries, relevance)
    labels, forms = LabelsOfOneId(), LabelForms.of(queries.labels)
    row_ids = queries.ids if context.inputs.queries_are_rows else queries.ids.slice(0, 0)
    context.progress.start("looking up the queries", gallery.rows.count)
    for made_by_old, block in _blocks_by_maker(gallery):
        of_block = relevance.of(block)
        relevant += of_block.counts
        own = Match.of(block, row_ids)
        present[own.places], by_old[own.places] = True, made_by_old
        relevant[own.places] -= of_block.holds(own.places, own.rows)
        if own.labels is not None and queries.labels is not None:
            other_label[own.places] = labels.compare(own.labels, queries.labels.take(pa.array(own.places)))
        trained.look_at(block)
        forms.look_at(block.labels)
        context.progress.advance(len(block.ids))
    labels.refuse_mostly_different(queries, gallery.name)
    has_trained, has_others = trained.kinds()
    if present.any():
        vectors = stored_vectors(gallery.rows, row_ids, context.engine)
    return QueryLookup(
        vectors, present, by_old, relevant, trained.queries, has_trained, has_others, other_label, forms.others
    )


def _blocks_by_maker(gallery: Gallery) -> Iterator[tuple[bool, Block]]:
    """Ids and labels of the rows, and whether the model of the gallery's space made them."""
    rows = gallery.rows.without_vectors()
    for file, path in zip(gallery.files, rows.files, strict=True):
        for block in rows.file_blocks(path):
            yield not file.encoder, block


class _Trained:
    """Tells queries and rows of trained classes from others. Both are told apart in the same way.

    Rows go by their labels, where gallery and model know labels, and else by their ids. Queries go by their labels too,
    or by the rows relevant to them. A model that was fitted to rows without labels counts as trained on the
    gallery's labels of these rows: where labels are the truth, rows and queries go by them.

    Ids are looked up in batches as large as the set of trained ids, because each lookup hashes that whole set.
    """

    def __init__(self, context: CheckContext, queries: Items, relevance: Relevance) -> None:
        self._ids = context.training_ids
        self._labels = pa.array(context.model.card.trained_labels, pa.string())
        self._by_label = bool(context.gallery.rows.columns.label and len(self._labels))
        self._judged = relevance if isinstance(relevance, Judgements) else None
        self._by_labels_of_rows = bool(context.gallery.rows.columns.label) and not self._by_label and not self._judged
        self._every_label = pa.array([], pa.string())
        self._of_queries = queries.labels
        self._by_rows = np.zeros(len(queries), bool)
        if self._judged is not None and not self._by_label:
            self._by_rows[self._judged.query[self._ids.holds(self._judged.row)]] = True
        self._waiting: list[Block] = []
        self._trained = self._others = False

    @property
    def queries(self) -> NDArray[np.bool_]:
        """(Q,) whether each is of what the model was trained on."""
        if not (self._by_label or self._by_labels_of_rows) or self._of_queries is None:
            return self._by_rows
        labelled = self._of_queries.is_valid().to_numpy(zero_copy_only=False)
        return np.where(labelled, self._known(self._of_queries), self._by_rows)

    def look_at(self, block: Block) -> None:
        """Look at some rows, each once."""
        if self._by_label:
            known = self._known(block.labels)
            self._add(known)
            if self._judged is not None:
                judged = positions(self._judged.row, block.ids.filter(pa.array(known))) >= 0
                self._by_rows[self._judged.query[judged]] = True
        elif self._by_labels_of_rows or not (self._trained and self._others):
            self._waiting.append(block)
            if sum(len(one.ids) for one in self._waiting) >= len(self._ids):
                self._look_up()

    def kinds(self) -> tuple[bool, bool]:
        """Whether there are rows of what the model was trained on, and whether there are others."""
        self._look_up()
        if self._by_labels_of_rows:
            self._add(self._known(self._every_label))
        return self._trained, self._others

    def _known(self, labels: pa.Array | None) -> NDArray[np.bool_]:
        known: NDArray[np.bool_] = pc.is_in(labels, value_set=self._labels).to_numpy(zero_copy_only=False)
        return known

    def _look_up(self) -> None:
        if self._waiting:
            trained = self._ids.holds(pa.chunked_array([one.ids for one in self._waiting]))
            if self._by_labels_of_rows:
                self._add_labels(trained)
            else:
                self._add(trained)
        self._waiting = []

    def _add_labels(self, trained: NDArray[np.bool_]) -> None:
        """Keep the labels of the waiting rows; those without one go by their ids."""
        labels = pa.concat_arrays([one.labels for one in self._waiting])
        known = labels.filter(pa.array(trained)).drop_null()
        self._labels = pc.unique(pa.concat_arrays([self._labels, known]))
        self._every_label = pc.unique(pa.concat_arrays([self._every_label, labels.drop_null()]))
        self._add(trained[labels.is_null().to_numpy(zero_copy_only=False)])

    def _add(self, trained: NDArray[np.bool_]) -> None:
        self._trained |= bool(trained.any())
        self._others |= not trained.all()  # no rows hold no others
