"""Time of re-ranking from a warm overlay: look-up of the candidates' ids, gathering of their vectors, product, order.

python -m tests.benchmarks.overlay [--rows 1000000] [--dim 384] [--candidates 200] [--queries 200] [--folder FOLDER]

Prints the median and the 99th percentile of a query in milliseconds, cold ones (their pages not in memory) and warm
ones, and the seconds that filling, opening and opening again took. FOLDER takes the store and the local copies, about
twice the size of the vectors; default: the system's folder for temporary files, removed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from skipfill.compat.reranking.order import reordered
from skipfill.store.overlays.add import add_rows
from skipfill.store.overlays.overlay import Overlay, open_overlay
from skipfill.store.storage.location import init_store
from skipfill.store.storage.object_store import ObjectStore

BY = "be" * 32
BATCH = 100_000


def filled(folder: Path, rows: int, dim: int) -> ObjectStore:
    """A store with an overlay of so many rows of length 1."""
    objects = init_store(folder / ".skipfill")
    random = np.random.default_rng(0)
    before = None
    for start in range(0, rows, BATCH):
        numbers = np.arange(start, min(start + BATCH, rows))
        vectors = random.standard_normal((len(numbers), dim), np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        done = add_rows(objects, "g", BY, ids_of(numbers), numbers.astype(np.uint64), vectors, before=before)
        before = done.overlay
    return objects


def ids_of(numbers: np.ndarray) -> pa.Array:
    return pa.array([f"document-{number:08d}" for number in numbers])


def timed(overlay: Overlay, draws: np.ndarray, queries: np.ndarray) -> list[float]:
    """Seconds of each query. Its candidates are (Q, K) row numbers."""
    seconds = []
    for chosen, query in zip(draws, queries, strict=True):
        ids = ids_of(chosen)
        began = time.perf_counter()
        places = overlay.places(ids)
        scores = overlay.vectors(places) @ query
        reordered(scores, places >= 0, chosen)
        seconds.append(time.perf_counter() - began)
    return seconds


def percentiles(seconds: list[float]) -> dict[str, float]:
    median, worst = np.percentile(seconds, [50, 99]) * 1000
    return {"median_ms": round(float(median), 3), "p99_ms": round(float(worst), 3)}


def measured(folder: Path, given: argparse.Namespace) -> dict[str, object]:
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    began = time.perf_counter()
    objects = filled(folder, given.rows, given.dim)
    after_filling = time.perf_counter()
    overlay = open_overlay(objects, "g", BY, given.dim)
    after_opening = time.perf_counter()
    overlay = open_overlay(objects, "g", BY, given.dim)
    opened_again = time.perf_counter()
    random = np.random.default_rng(1)
    draws = random.integers(0, given.rows, (given.queries, given.candidates))
    queries = random.standard_normal((given.queries, given.dim), np.float32)
    return {
        "rows": overlay.rows,
        "dim": given.dim,
        "candidates": given.candidates,
        "filling_s": round(after_filling - began, 2),
        "opening_s": round(after_opening - after_filling, 3),
        "opening_again_s": round(opened_again - after_opening, 3),
        "first": percentiles(timed(overlay, draws, queries)),
        "warm": percentiles(timed(overlay, draws, queries)),
    }


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--rows", type=int, default=1_000_000)
    asked.add_argument("--dim", type=int, default=384)
    asked.add_argument("--candidates", type=int, default=200)
    asked.add_argument("--queries", type=int, default=200)
    asked.add_argument("--folder", type=Path)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        print(json.dumps(measured(Path(folder), given), indent=1))


if __name__ == "__main__":
    main()
