"""Recall of old and new queries from an HNSW index on the stored rows, and the effort that new ones need."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skipfill.compat.evaluation.index.effort import Answers
from skipfill.compat.evaluation.index.hnsw import Hnsw, faiss_module
from skipfill.compat.evaluation.index.rows import read_indexed
from skipfill.compat.evaluation.index.settings import IndexSettings
from skipfill.compat.evaluation.statistics.bootstrap import Values, interval, resampled_means
from skipfill.compat.progress import Progress
from skipfill.compat.settings import checked
from skipfill.store.checks.report import Effort, IndexRecall, Interval
from skipfill.store.errors import BadInput
from skipfill.store.parquet.stored_rows import StoredRows
from skipfill.store.parquet.vectors import Matrix, Similarity, longest, normalised

EFFORTS = (16, 32, 64, 128, 256, 512)
"""Values of efSearch at which the recall is shown."""
MOST_EFFORT = 4_096
"""Largest efSearch that is tried, unless the given one is larger."""
SPARE_NEIGHBOURS, MOST_NEIGHBOURS = 10, 100
"""Exact neighbours of a query: this many more than are asked for, or a twentieth of the rows if that is more, but then
at most this many."""
CLEARLY_LOWER = 0.01
"""A warning needs a recall of new queries that is surely lower than that of old ones by more than this."""
CLEARLY_HIGHER = 1.5
"""Or a local dimension at new queries that is surely more than this many times that at old ones."""
LEAST_QUERIES = 30
"""Fewest queries from which a warning about the index is drawn."""
SIDES = ("old", "new")


def measure_index(
    rows: StoredRows,
    similarity: Similarity,
    old: Matrix,
    new: Matrix,
    settings: IndexSettings,
    progress: Progress,
    query_ids: pa.Array | None = None,
) -> IndexRecall:
    """Build an HNSW index on the stored rows, and search it with old and new queries. The result is deterministic.

    Args:
        old, new: (Q, D) float32, vectors of the same queries in the gallery's space.
        query_ids: (Q,) ids; a row of the same id is the query itself, and is not indexed. Otherwise an old query would
            find itself without effort, which no query in production does.

    Raises:
        BadInput: a setting out of range, unusable vectors, too few rows, or faiss is not installed.
    """
    checked("index", IndexSettings, asdict(settings))
    faiss_module()  # before anything is read
    for side, vectors in zip(SIDES, (old, new), strict=True):
        _refuse_unusable(f"{side} query vectors", vectors, (len(old), rows.dim))
    chosen = _chosen_queries(len(old), rows.count, settings, query_ids)
    without = None if query_ids is None else query_ids.take(pa.array(chosen))
    searched = _searched(rows, similarity, old[chosen], new[chosen], settings, progress, without)
    before, after = searched.old, searched.new
    most = max(settings.ef_search, min(searched.rows, MOST_EFFORT))
    efforts = [effort for effort in EFFORTS if searched.k <= effort <= most]
    progress.start("searching the index", 2 * len(chosen) * len({*efforts, settings.ef_search}))
    recall, change = _compared(before.recall(settings.ef_search), after.recall(settings.ef_search), settings)
    curve = [Effort(one, float(before.recall(one).mean()), float(after.recall(one).mean())) for one in efforts]
    progress.start("effort that the new queries need", 0)
    report = IndexRecall(
        rows=searched.rows,
        gallery_rows=rows.count,
        queries=len(chosen),
        given_queries=len(old),
        k=searched.k,
        settings=asdict(settings),
        recall=recall,
        change=change,
        efforts=curve,
        effort_needed=after.least_effort(int(before.found(settings.ef_search).sum()), most),
        most_effort=most,
        dimension={"old": _median(before.dimension), "new": _median(after.dimension)},
        dimension_neighbours=searched.near,
        dimension_ratio=_ratio(before.dimension, after.dimension, settings),
        warnings=[],
    )
    return replace(report, warnings=index_warnings(report))


@dataclass(frozen=True)
class _Searched:
    """An index with the exact answers to both query sets.

    Attributes:
        rows: number of rows indexed.
        k: rows asked for.
        near: number of exact neighbours found for each query.
    """

    rows: int
    k: int
    near: int
    old: Answers
    new: Answers


def _searched(
    rows: StoredRows,
    similarity: Similarity,
    old: Matrix,
    new: Matrix,
    settings: IndexSettings,
    progress: Progress,
    without: pa.Array | None,
) -> _Searched:
    """Build the index on the rows, except those with an id in `without`, and find the exact neighbours."""
    indexed = read_indexed(rows, similarity, settings, without, progress)
    total = len(indexed.order)
    radius = longest(indexed.vectors)
    index = Hnsw(indexed, settings, progress)
    del indexed  # the index has a copy of its own
    k = min(settings.k, total)
    near = min(total, max(k + SPARE_NEIGHBOURS, min(MOST_NEIGHBOURS, total // 20)))
    progress.start("exact neighbours of the queries", 2 * len(old))
    answers = (
        Answers(index, normalised(side) if similarity == "cosine" else side, k, near, radius, progress)
        for side in (old, new)
    )
    return _Searched(total, k, near, *answers)


def _refuse_unusable(where: str, vectors: Matrix, shape: tuple[int, int]) -> None:
    if vectors.shape != shape or shape[0] == 0:
        found = f"{vectors.shape[0]} of dimension {vectors.shape[1]}"
        raise BadInput(where, expected=f"{max(1, shape[0])} vectors of dimension {shape[1]}", found=found)
    if not np.isfinite(vectors).all() or not np.abs(vectors).max(axis=1).all():
        raise BadInput(where, expected="finite vectors that are not all zeros", found="NaN, infinity or a zero vector")


def _chosen_queries(queries: int, rows: int, settings: IndexSettings, query_ids: pa.Array | None) -> NDArray[np.int64]:
    """Positions of the queries that are measured. Queries that are rows are not indexed, and most rows must be."""
    most = queries if query_ids is None else max(1, rows // 4)
    count = min(settings.queries, queries, most)
    return np.sort(np.random.default_rng(settings.seed).choice(queries, count, replace=False))


def _compared(old: Values, new: Values, settings: IndexSettings) -> tuple[dict[str, Interval], Interval]:
    """Intervals of both means, and of their difference under the same draws."""
    drawn = resampled_means(np.stack([old, new], axis=1), settings.resamples, settings.seed)
    means = {"old": float(old.mean()), "new": float(new.mean())}
    recall = {
        side: interval(mean, drawn[:, column], settings.confidence) for column, (side, mean) in enumerate(means.items())
    }
    return recall, interval(means["new"] - means["old"], drawn[:, 1] - drawn[:, 0], settings.confidence)


def _median(dimension: Values) -> float | None:
    known = dimension[~np.isnan(dimension)]
    middle = float(np.median(known)) if len(known) else math.inf
    return middle if math.isfinite(middle) else None


def _ratio(old: Values, new: Values, settings: IndexSettings) -> Interval | None:
    known = np.isfinite(old) & np.isfinite(new)
    if not known.any():
        return None
    logs = np.log(new[known] / old[known])[:, None]
    drawn = resampled_means(logs, settings.resamples, settings.seed)[:, 0]
    found = interval(float(logs.mean()), drawn, settings.confidence)
    return Interval(math.exp(found.mean), math.exp(found.low), math.exp(found.high))


def index_warnings(report: IndexRecall) -> list[str]:
    """Warnings for the operator: new queries are clearly served worse, or there are too few queries to tell."""
    if report.queries < LEAST_QUERIES:
        return [f"{report.queries} queries are too few to tell what the index does to new queries"]
    lower = report.change.high < -CLEARLY_LOWER
    higher = report.dimension_ratio is not None and report.dimension_ratio.low > CLEARLY_HIGHER
    if not lower and not higher:
        return []
    before, after = report.recall["old"].mean, report.recall["new"].mean
    effort = report.settings["ef_search"]
    signs = f"recall@{report.k} {after:.3f} instead of {before:.3f} at efSearch {effort}"
    if report.dimension_ratio is not None:
        signs += f", local dimension {report.dimension_ratio.mean:.1f} times that of old ones"
    return [f"new queries lie outside the index's distribution: {signs}; {_advice(report, effort)}"]


def _advice(report: IndexRecall, effort: int) -> str:
    if report.effort_needed is None:
        return f"no efSearch up to {report.most_effort} brings the old recall back"
    if report.effort_needed <= effort:
        return f"efSearch {effort} still gives the old recall"
    sample = (
        f" (on a sample of {report.rows:,} rows; all rows need more)" if report.rows < report.gallery_rows // 2 else ""
    )
    return f"set efSearch to {report.effort_needed}{sample}"
