"""Measures a sequence of models: queries by each model, on galleries by itself and by each earlier model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.compat.encoders.decoded import decoding_once
from skipfill.compat.evaluation.labels import required_labels
from skipfill.compat.evaluation.per_query import rankings, values_of
from skipfill.compat.evaluation.sequences.class_templates import write_templates
from skipfill.compat.evaluation.sequences.summaries import average_compatibility, average_multimodel, backward, forward
from skipfill.compat.inference.encode import encode_all, write_encoded
from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.inference.views import viewed
from skipfill.compat.inference.witness import verified_model
from skipfill.compat.metrics.ranking import Metric
from skipfill.compat.metrics.registry import ALWAYS, named_metrics
from skipfill.compat.progress import Progress
from skipfill.store.errors import Advice, BadInput
from skipfill.store.models.cards import Card, load_card, view_onto
from skipfill.store.parquet.ids import positions
from skipfill.store.parquet.items import Items
from skipfill.store.parquet.stored_rows import Columns, StoredRows
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.retrieval.ranks import Queries, relevant_ranks
from skipfill.store.retrieval.relevance import SameLabel
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.storage.unfinished import scratch_folder

NAME_LABEL = Advice("name_column", parameter="label")


@dataclass(frozen=True)
class SequenceReport:
    """Matrices of a sequence of models.

    Attributes:
        models: T names, the earliest first.
        matrices: metric -> (T, T) M, NaN above the diagonal.
        queries, gallery_rows: number of queries, and of gallery rows.
        left_out: queries without a row to be found.
    """

    models: list[str]
    matrices: dict[str, NDArray[np.float64]]
    queries: int
    gallery_rows: int
    left_out: int

    def summary(self, metric: str) -> dict[str, float | None]:
        """AC, AM, backward and forward compatibility in one metric."""
        matrix = self.matrices[metric]
        return {
            "AC": average_compatibility(matrix),
            "AM": average_multimodel(matrix),
            "backward": backward(matrix),
            "forward": forward(matrix),
        }

    def described(self) -> dict[str, Any]:
        """As JSON values; a row of a matrix ends at its diagonal."""
        rows = {
            metric: [matrix[row, : row + 1].tolist() for row in range(len(matrix))]
            for metric, matrix in self.matrices.items()
        }
        return {
            "models": self.models,
            "matrices": rows,
            "summary": {metric: self.summary(metric) for metric in self.matrices},
            "queries": self.queries,
            "gallery_rows": self.gallery_rows,
            "left_out": self.left_out,
        }


@decoding_once()
def measure_sequence(
    objects: ObjectStore,
    names: Sequence[str],
    queries: Items,
    gallery: Items,
    progress: Progress = Progress(),
    *,
    templates: bool = False,
) -> SequenceReport:
    """M[i, j] of every pair i >= j: `queries` by model i, viewed in the space of model j, among `gallery` by model j.

    A query's own row, known by its id, is left out of its ranking. Each model is loaded once and encodes each side
    once. The encoded galleries are kept on disk.

    Args:
        templates: whether the galleries have one row for each class, the mean of its items.

    Raises:
        BadInput: an unknown model or one named twice, one without a view onto the space of one before it, no labels,
            nothing to be found, or a query that is part of a template.
    """
    cards = [load_card(objects, name) for name in names]
    if len(set(names)) < len(names):
        raise BadInput("models", expected="each model once", found=", ".join(names))
    for at, card in enumerate(cards):
        for before in names[:at]:
            if view_onto(card, before).kind == "blend":
                _refuse_without_old_encoder(card)
    answerable = _answerable(queries, gallery)
    if templates:
        _refuse_own_rows(queries, gallery)
    kept = _KeptQueries(queries.restricted(answerable), named_metrics(ALWAYS), progress)
    matrices = {name: np.full((len(names), len(names)), np.nan) for name in ALWAYS}
    with scratch_folder() as scratch:
        galleries: list[StoredRows] = []
        for later, name in enumerate(names):
            model = verified_model(objects, name)
            galleries.append(_encoded_gallery(model, gallery, scratch / f"{later}.parquet", progress, templates))
            vectors = encode_all(model, kept.items, progress)
            old = None if model.old_model is None else encode_all(model.old_model, kept.items, progress)
            for earlier, rows in enumerate(galleries):
                means = kept.means(f"{name}/{names[earlier]}", viewed(model, vectors, names[earlier], old), rows)
                for metric, mean in means.items():
                    matrices[metric][later, earlier] = mean
    return SequenceReport(list(names), matrices, len(kept.items), galleries[0].count, int((~answerable).sum()))


@dataclass(frozen=True)
class _KeptQueries:
    """Queries that have something to find, to be encoded by every model of the sequence."""

    items: Items
    metrics: dict[str, Metric]
    progress: Progress

    def means(self, stage: str, vectors: Matrix, rows: StoredRows) -> dict[str, float]:
        """The mean of each metric over the queries, ranked among `rows` by their (Q, d) vectors."""
        self.progress.start(stage, 2 * len(vectors) * rows.count)
        queries = Queries(self.items.ids, SameLabel(self.items.labels), vectors)
        ranks = relevant_ranks(rows, queries, "cosine", self.progress.advance)
        return {metric: float(values.mean()) for metric, values in values_of(rankings(ranks), self.metrics).items()}


def _encoded_gallery(model: LoadedModel, items: Items, path: Path, progress: Progress, templates: bool) -> StoredRows:
    """The items as rows by the model, in a file at `path`; or one row for each class, the mean of its items."""
    progress.start(f"encoding gallery with {model.card.name}", len(items))
    write_encoded(model, items, path, progress.advance)
    rows = StoredRows.open([path], Columns(label="label"), model.card.dim)
    if not templates:
        return rows
    means = path.with_suffix(".templates")
    write_templates(rows, means)
    return StoredRows.open([means], rows.columns, rows.dim)


def _answerable(queries: Items, gallery: Items) -> NDArray[np.bool_]:
    """(Q,) whether each query has a row of its label to be found, its own not counted."""
    labels = required_labels(gallery, NAME_LABEL)
    classes = pc.unique(labels.drop_null())
    wanted, codes = positions(required_labels(queries, NAME_LABEL), classes), positions(labels, classes)
    counts = np.bincount(codes[codes >= 0], minlength=len(classes))
    itself = positions(queries.ids, gallery.ids)
    relevant = counts[wanted] - ((itself >= 0) & (codes[itself] == wanted))
    usable: NDArray[np.bool_] = (wanted >= 0) & (relevant > 0)
    if not usable.any():
        raise BadInput(
            queries.where,
            expected="queries with a label that other gallery items have",
            found=f"none of {len(queries)}",
            hint=NAME_LABEL,
        )
    return usable


def _refuse_without_old_encoder(blend: Card) -> None:
    if blend.network.get("old") is None:
        raise BadInput(
            f"model {blend.name}",
            expected="models that encode queries by themselves",
            found="a blend without its old encoder, whose queries need the old vectors",
            hint=Advice("check_blend", model=blend.name),
        )


def _refuse_own_rows(queries: Items, gallery: Items) -> None:
    shared = int((positions(queries.ids, gallery.ids) >= 0).sum())
    if shared:
        raise BadInput(
            queries.where,
            expected="queries that are not gallery items: a template cannot leave its query out",
            found=f"{shared} of {len(queries)} that are",
            hint=Advice("other_gallery_items"),
        )
