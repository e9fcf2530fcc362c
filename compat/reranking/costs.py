"""Costs of re-ranking: items encoded, the share of the gallery that queries touch, and the time a query takes."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from skipfill.compat.reranking.order import reordered
from skipfill.compat.reranking.touched import measured, predicted
from skipfill.compat.reranking.two_stages import TwoStages
from skipfill.store.checks.reranking import Reranked, Reranking
from skipfill.store.retrieval.products import comparable, exact_scores

TIMED = 64
"""Number of queries that are timed one by one."""
POINTS = 12
"""Number of points of the measured curve."""
LATER = (2, 5, 10, 30, 100)
"""Multiples of the number of queries for which the curve is predicted."""


def costs(stages: TwoStages, way: Reranking, model: str, gallery_rows: int, *, kept: bool) -> Reranked:
    """Measure the costs of re-ranking the first K candidates.

    Args:
        model: fingerprint of the model.
        kept: whether the rows that were encoded are in the overlay now.
    """
    new, rows = stages.new, stages.candidates.first(way.k).rows
    touched = np.unique(rows[rows >= 0])
    encoded = int(new.encoded[touched].sum())
    without = rows[rows >= 0][~new.known[rows[rows >= 0]]]
    count = len(rows)
    return Reranked(
        way=way,
        model=model,
        overlay=new.overlay.version,
        overlay_rows=new.overlay.rows,
        needs_overlay=bool(new.trusted[touched].any()),
        touched=len(touched),
        from_overlay=int(new.from_overlay[touched].sum()),
        encoded=encoded,
        without_vector=int((~new.known[touched]).sum()),
        kept=kept and encoded > 0,
        cold=len(touched) / count,
        warm=int((~new.from_overlay[touched]).sum()) / count,
        places_without=len(without) / max((rows >= 0).sum(), 1),
        gallery_rows=gallery_rows,
        curve=measured(rows, _points(count)),
        predicted=predicted(rows, gallery_rows, [count * times for times in LATER]),
        milliseconds=_milliseconds(stages, way.k),
        items_per_second=new.items_per_second if encoded else None,
    )


def _points(queries: int) -> Sequence[int]:
    """Numbers of queries at growing distances, up to all of them."""
    points: list[int] = np.unique(np.geomspace(1, queries, POINTS).round().astype(int)).tolist()
    return points


def _milliseconds(stages: TwoStages, k: int) -> float:
    """The median time per query of look-up, gathering, product and sorting, for rows whose vectors are there.

    Rows that are in the overlay are looked up there.
    """
    candidates, new, own = stages.candidates.first(k), stages.new, comparable(stages.own, "cosine")
    times = []
    for query in range(min(TIMED, len(candidates))):
        rows = candidates.rows[query][candidates.rows[query] >= 0]
        ids = candidates.ids.take(pa.array(rows))
        began = time.perf_counter()
        vectors = new.vectors[rows]
        places = new.overlay.places(ids) if new.overlay.rows else np.full(len(rows), -1)
        stored = places >= 0
        if stored.any():
            vectors[stored] = comparable(new.overlay.vectors(places[stored]), "cosine")
        at = np.arange(len(rows))
        scores = exact_scores(own, vectors, np.full(len(rows), query), at, ids)
        reordered(scores, new.known[rows], at)
        times.append(time.perf_counter() - began)
    return float(np.median(times)) * 1000
