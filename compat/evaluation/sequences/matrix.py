"""Measure a sequence of models: queries by each, on galleries by each of those before it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.compat.evaluation.per_query import rankings, values_of
from skipfill.compat.evaluation.sequences.class_templates import write_templates
from skipfill.compat.evaluation.sequences.summaries import average_compatibility, average_multimodel, backward, forward
from skipfill.compat.inference.encode import encoded, write_encoded
from skipfill.compat.inference.load import viewed
from skipfill.compat.inference.witness import verified_model
from skipfill.compat.metrics.registry import ALWAYS, metric
from skipfill.compat.progress import Progress
from skipfill.store.errors import BadInput
from skipfill.store.models.cards import load_card, view_onto
from skipfill.store.parquet.ids import positions
from skipfill.store.parquet.items import Items
from skipfill.store.parquet.stored_rows import Columns, StoredRows
from skipfill.store.retrieval.ranks import Queries, relevant_ranks
from skipfill.store.retrieval.relevance import SameLabel
from skipfill.store.storage.object_store import ObjectStore


@dataclass(frozen=True)
class SequenceReport:
    """Attributes:
    models: T names, the earliest first.
    matrices: metric -> (T, T) M, NaN above the diagonal.
    queries, gallery_rows: how many of each.
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
    once; the galleries lie on disk meanwhile.

    Args:
        templates: the galleries have one row a class, the mean of its items.

    Raises:
        BadInput: an unknown model or one named twice, one without a view onto the space of one before it, no labels,
            nothing to be found, or a query that is part of a template.
    """
    cards = [load_card(objects, name) for name in names]
    if len(set(names)) < len(names):
        raise BadInput("models", expected="each model once", found=", ".join(names))
    views = [[view_onto(card, earlier) for earlier in names[: at + 1]] for at, card in enumerate(cards)]
    usable = _answerable(queries, gallery)
    if templates:
        _refuse_own_rows(queries, gallery)
    asked = queries.restricted(usable)
    metrics = {name: one for name in ALWAYS if (one := metric(name)) is not None}
    matrices = {name: np.full((len(names), len(names)), np.nan) for name in ALWAYS}
    with tempfile.TemporaryDirectory() as scratch:
        galleries: list[StoredRows] = []
        for later, name in enumerate(names):
            model = verified_model(objects, name)
            path = Path(scratch) / f"{later}.parquet"
            progress.start(f"encoding gallery with {name}", len(gallery))
            write_encoded(model, gallery, path, progress.advance)
            rows = StoredRows.open([path], Columns(label="label"), model.card.dim)
            galleries.append(_templates(rows, path.with_suffix(".templates")) if templates else rows)
            own = encoded(model, asked, progress)
            for earlier, rows in enumerate(galleries):
                progress.start(f"{name}/{names[earlier]}", 2 * len(asked) * rows.count)
                vectors = viewed(own, views[later][earlier])
                questions = Queries(asked.ids, SameLabel(_labels(asked)), vectors)
                found = rankings(relevant_ranks(rows, questions, "cosine", progress.advance))
                for measure, values in values_of(found, metrics).items():
                    matrices[measure][later, earlier] = values.mean()
    return SequenceReport(list(names), matrices, len(asked), galleries[0].count, int((~usable).sum()))


def _answerable(queries: Items, gallery: Items) -> NDArray[np.bool_]:
    """Which queries have a row of their label to be found, their own not counted."""
    classes = pc.unique(_labels(gallery).drop_null())
    wanted, codes = positions(_labels(queries), classes), positions(_labels(gallery), classes)
    counts = np.bincount(codes[codes >= 0], minlength=len(classes))
    itself = positions(queries.ids, gallery.ids)
    relevant = counts[wanted] - ((itself >= 0) & (codes[itself] == wanted))
    usable: NDArray[np.bool_] = (wanted >= 0) & (relevant > 0)
    if not usable.any():
        raise BadInput(
            queries.where,
            expected="queries with a label that other gallery items have",
            found=f"none of {len(queries)}",
            hint="Name the label column with --label COLUMN.",
        )
    return usable


def _templates(rows: StoredRows, path: Path) -> StoredRows:
    write_templates(rows, path)
    return StoredRows.open([path], rows.columns, rows.dim)


def _refuse_own_rows(queries: Items, gallery: Items) -> None:
    shared = int((positions(queries.ids, gallery.ids) >= 0).sum())
    if shared:
        raise BadInput(
            queries.where,
            expected="queries that are no gallery items: a template cannot leave its query out",
            found=f"{shared} of {len(queries)} that are",
            hint="Name other items with --gallery-items.",
        )


def _labels(items: Items) -> pa.Array:
    if items.labels is None:
        raise BadInput(
            items.where,
            expected="labels, to know which rows are relevant",
            found="none",
            hint="Name the label column with --label COLUMN.",
        )
    return items.labels
