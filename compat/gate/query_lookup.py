"""What the gallery knows of a check's queries, in one pass: their stored vectors, and how many rows are relevant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.compat.progress import Progress
from skipfill.store.galleries.gallery import Gallery
from skipfill.store.galleries.label_agreement import LabelsOfOneId
from skipfill.store.parquet.ids import positions
from skipfill.store.parquet.items import Items
from skipfill.store.parquet.stored_rows import Block
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.retrieval.relevance import Judgements, Relevance


@dataclass(frozen=True)
class QueryLookup:
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

    def restricted(self, chosen: NDArray[np.bool_]) -> QueryLookup:
        """The same of some of the queries."""
        return replace(
            self,
            vectors=self.vectors[chosen],
            found=self.found[chosen],
            old=self.old[chosen],
            relevant=self.relevant[chosen],
            known=self.known[chosen],
        )


def look_up_queries(
    gallery: Gallery,
    queries: Items,
    truth: Relevance,
    trained_labels: Sequence[str],
    seen: pa.Array,
    progress: Progress,
    *,
    queries_are_rows: bool,
) -> QueryLookup:
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
    progress.start("looking up the queries", gallery.rows.count)
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
        progress.advance(len(block.ids))
    labels.refuse_mostly_different(queries, gallery.name)
    return QueryLookup(vectors, found, old, relevant, known, (trained > 0, trained < rows), labels)


def _by_maker(gallery: Gallery) -> Iterator[tuple[bool, Block]]:
    """The rows, and whether the model of the gallery's space made them."""
    for file, path in zip(gallery.files, gallery.rows.files, strict=True):
        for block in gallery.rows.file_blocks(path):
            yield not file.encoder, block


def _known(
    queries: Items, gallery: Gallery, truth: Relevance, trained_labels: Sequence[str], seen: pa.Array
) -> NDArray[np.bool_]:
    if queries.labels is not None and gallery.rows.columns.label and trained_labels:
        found = pc.is_in(queries.labels, value_set=pa.array(trained_labels, pa.string()))
        by_label: NDArray[np.bool_] = found.to_numpy(zero_copy_only=False)
        return by_label
    assert isinstance(truth, Judgements)
    known = np.zeros(len(queries), bool)
    known[truth.query[positions(truth.row, seen) >= 0]] = True
    return known
