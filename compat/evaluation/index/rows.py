"""The rows that an index is built on, and the order in which they are inserted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.compat.evaluation.index.settings import IndexSettings, Order
from skipfill.compat.progress import Progress
from skipfill.store.errors import Advice, BadInput
from skipfill.store.parquet.ids import positions
from skipfill.store.parquet.stored_rows import StoredRows
from skipfill.store.parquet.vectors import Matrix, Similarity, normalised


@dataclass(frozen=True)
class IndexedRows:
    """N rows to index.

    Attributes:
        vectors: (N, D) float32 in file order; of norm 1 under the cosine.
        order: (N,) the order of insertion.
    """

    vectors: Matrix
    order: NDArray[np.int64]


def read_indexed(
    rows: StoredRows, similarity: Similarity, settings: IndexSettings, without: pa.Array | None, progress: Progress
) -> IndexedRows:
    """Read all rows or a uniform sample, streamed; at most `settings.rows` vectors are held.

    Args:
        without: ids of rows that are left out.

    Raises:
        BadInput: the order is by label and the gallery has no labels; fewer than two rows are left.
    """
    if settings.order == "by-label" and not rows.columns.label:
        raise BadInput(
            "setting index.order",
            expected="a gallery with labels to insert rows by label",
            found="a gallery without a label column",
            hint=Advice("other_order_or_register_label"),
        )
    random = np.random.default_rng(settings.seed)
    count = min(rows.count, settings.rows)
    drawn = np.arange(count) if count == rows.count else np.sort(random.choice(rows.count, count, replace=False))
    vectors = np.empty((count, rows.dim), np.float32)
    labels: list[pa.Array] = []
    filled = passed = 0
    progress.start("reading rows to index", rows.count)
    for block in rows.blocks():
        first, last = np.searchsorted(drawn, [passed, passed + len(block.ids)])
        chosen = drawn[first:last] - passed
        if without is not None:
            chosen = chosen[positions(block.ids.take(pa.array(chosen)), without) < 0]
        part = block.vectors[chosen]
        vectors[filled : filled + len(part)] = normalised(part) if similarity == "cosine" else part
        if block.labels is not None:
            labels.append(block.labels.take(pa.array(chosen)))
        filled += len(part)
        passed += len(block.ids)
        progress.advance(len(block.ids))
    if filled < 2:
        raise BadInput("index", expected="at least 2 rows to index that are not queries", found=f"{filled}")
    return IndexedRows(vectors[:filled], _insertion(settings.order, filled, labels, random))


def _insertion(order: Order, count: int, labels: list[pa.Array], random: np.random.Generator) -> NDArray[np.int64]:
    if order == "shuffled":
        return random.permutation(count)
    if order == "by-label":
        # A stable sort keeps the file order within a label. Rows without a label come last.
        codes = pc.rank(pa.concat_arrays(labels), sort_keys="ascending", tiebreaker="dense")
        return np.argsort(codes.to_numpy(), kind="stable")
    return np.arange(count)
