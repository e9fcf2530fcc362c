"""The measurements of a check: every query vector ranked over stored rows, and over rows that were encoded again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skipfill.compat.bootstrap import Values
from skipfill.compat.check_inputs import CheckInputs, items_of_rows
from skipfill.compat.encoding import write_encoded
from skipfill.compat.evidence import PerQuery
from skipfill.compat.loaded_model import LoadedModel
from skipfill.compat.ranking import Metric as QueryMetric
from skipfill.compat.rankings import rankings, values_of
from skipfill.compat.stages import Stages
from skipfill.compat.stored_truth import StoredTruth, stored_truth
from skipfill.store.errors import BadInput
from skipfill.store.galleries.gallery import Gallery
from skipfill.store.parquet.items import Items
from skipfill.store.parquet.stored_rows import Columns, StoredRows
from skipfill.store.parquet.vectors import Matrix, Metric
from skipfill.store.retrieval.judgements import read_judgements
from skipfill.store.retrieval.ranks import Queries, RelevantRanks, relevant_ranks
from skipfill.store.retrieval.relevance import GroundTruth, Judged, SameLabel
from skipfill.store.retrieval.search import search


@dataclass(frozen=True)
class RowsAtHand:
    """Gallery rows whose items are at hand, to be encoded again by any model, once each.

    Attributes:
        items: with the labels stored in the gallery; None when there are not two.
    """

    items: Items | None
    folder: Path
    stages: Stages

    @classmethod
    @contextmanager
    def opened(cls, rows: StoredRows, inputs: CheckInputs, stages: Stages) -> Iterator[RowsAtHand]:
        with tempfile.TemporaryDirectory() as folder:
            yield cls(items_of_rows(rows, inputs), Path(folder), stages)

    def __len__(self) -> int:
        return 0 if self.items is None else len(self.items)

    def by(self, model: LoadedModel) -> StoredRows:
        """The rows in the model's own space."""
        assert self.items is not None
        path = self.folder / f"{model.card.name}.parquet"
        if not path.exists():
            self.stages.start(f"encoding gallery items with {model.card.name}", len(self.items))
            write_encoded(model, self.items, path, self.stages.advance)
        return StoredRows.open([path], Columns(label="" if self.items.labels is None else "label"), model.card.dim)


@dataclass(frozen=True)
class Asked:
    """Q queries that have something to find.

    Attributes:
        items: where they come from.
        truth: what is relevant to each.
        facts: what the gallery knows of them.
        own: (Q, D) their vectors by the new model, in its own space.
        ids: rows of these ids are the queries themselves; NULL where queries are no rows.
    """

    items: Items
    truth: GroundTruth
    facts: StoredTruth
    own: Matrix
    ids: pa.Array


def ground_truth(
    gallery: Gallery,
    items: Items,
    own: Matrix,
    judge: LoadedModel,
    at_hand: RowsAtHand,
    inputs: CheckInputs,
    stages: Stages,
) -> GroundTruth:
    """What is relevant to each query.

    Args:
        own: (Q, D) query vectors by `judge`, whose reindex decides where `inputs.truth` is `reindex`.
    """
    if inputs.truth == "labels":
        return SameLabel(items.labels)
    if inputs.truth == "judgements":
        if inputs.judgements is None:
            raise BadInput("--truth judgements", expected="--judgements FILE", found="none")
        return read_judgements(inputs.judgements, items.ids, gallery.rows.id_kind)
    if at_hand.items is None:
        raise BadInput(
            "--truth reindex",
            expected="items of gallery rows, to encode again",
            found="none",
            hint="Give them with --gallery-items FILES.",
        )
    # One more than is wanted: the query's own row may be among them.
    rows = at_hand.by(judge)
    stages.start(f"what a reindex with {judge.card.name} returns", rows.count)
    hits = search(rows, own, inputs.depth + 1, progress=stages.advance)
    found = min(inputs.depth + 1, rows.count)
    query = np.repeat(np.arange(len(items)), found)
    other = np.ones(len(query), bool)
    if hits.ids.type == items.ids.type:
        other = pc.not_equal(hits.ids, items.ids.take(pa.array(query))).to_numpy(zero_copy_only=False)
    first = other & (np.add.accumulate(other.reshape(-1, found), axis=1).reshape(-1) <= inputs.depth)
    return Judged(len(items), query[first], hits.ids.filter(pa.array(first)), np.ones(int(first.sum()), np.float32))


def asked(
    gallery: Gallery,
    items: Items,
    truth: GroundTruth,
    own: Matrix,
    known_labels: list[str],
    seen: pa.Array,
    inputs: CheckInputs,
    stages: Stages,
    warnings: list[str],
) -> Asked:
    """The queries with a relevant row in the gallery: the others find nothing with any model, and prove nothing."""
    facts = stored_truth(gallery, items, truth, known_labels, seen, stages, queries_are_rows=inputs.queries_are_rows)
    if facts.labels.different:
        warnings.append(
            f"{facts.labels.different} of {facts.labels.compared} queries have another label than the gallery's row of "
            "the same id"
        )
    usable = facts.relevant > 0
    if not usable.any():
        raise BadInput(
            items.where,
            expected=f"{inputs.truth} that gallery {gallery.name} has rows of",
            found="none" if items.labels is None else f"none (first label: {items.labels[0].as_py()!r})",
            hint="Name the label column with --label COLUMN.",
        )
    if not usable.all():
        warnings.append(f"{(~usable).sum()} queries left out: the gallery has no row to be found for them")
    kept = items.restricted(usable)
    ids = kept.ids if inputs.queries_are_rows else pa.nulls(len(kept), kept.ids.type)
    return Asked(kept, truth.restricted(usable), facts.restricted(usable), own[usable], ids)


@dataclass(frozen=True)
class Ranker:
    """Turns query vectors into ranks, and ranks into per-query values of every metric."""

    asked: Asked
    metrics: dict[str, QueryMetric]
    stages: Stages

    def ranks(self, pair: str, vectors: Matrix, rows: StoredRows, metric: Metric) -> RelevantRanks:
        self.stages.start(pair, 2 * len(vectors) * rows.count)
        queries = Queries(self.asked.ids, self.asked.truth, vectors)
        return relevant_ranks(rows, queries, metric, self.stages.advance)

    def values(self, found: RelevantRanks) -> dict[str, Values]:
        return values_of(rankings(found), self.metrics)

    def reindexed(self, model: LoadedModel, vectors: Matrix, at_hand: RowsAtHand) -> dict[str, Values]:
        """The values when gallery and queries are both encoded by `model`; `vectors` are the queries'."""
        pair = f"{model.card.name}/{model.card.name}"
        return self.values(self.ranks(pair, vectors, at_hand.by(model), "cosine"))

    def on_rows_at_hand(
        self, gallery: Gallery, at_hand: RowsAtHand, stored: PerQuery, vectors: dict[str, Matrix]
    ) -> PerQuery:
        """old/old and new/old on the rows at hand, so that the update gain compares like with like."""
        pairs = ("old/old", "new/old")
        if len(at_hand) == gallery.rows.count:
            return {pair: stored[pair] for pair in pairs}
        assert at_hand.items is not None
        part = gallery.rows.restricted(at_hand.items.ids, len(at_hand))
        return {
            pair: self.values(self.ranks(f"{pair}, sample", vectors[pair], part, gallery.space.metric))
            for pair in pairs
        }
