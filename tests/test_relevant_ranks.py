"""Ranks and metrics against a full sort and against trec_eval (ir_measures)."""

from __future__ import annotations

from pathlib import Path

import ir_measures
import numpy as np
import pyarrow as pa
import pytest

from skipfill.compat.metrics import METRICS
from skipfill.store.gallery_rows import Columns, StoredRows
from skipfill.store.relevant_ranks import Queries, relevant_ranks

from .conftest import write_vectors

TREC = {"CMC@1": ir_measures.Success @ 1, "CMC@5": ir_measures.Success @ 5, "mAP": ir_measures.AP}


def slow_ranks(scores: np.ndarray, ids: np.ndarray, relevant: np.ndarray, itself: np.ndarray) -> list[int]:
    """Sort everything by (-score, id), drop the query itself, read off where the relevant rows are."""
    rows = [row for row in np.lexsort((ids, -scores)) if not itself[row]]
    return [rank for rank, row in enumerate(rows, start=1) if relevant[row]]


@pytest.mark.parametrize("grid", [2, 1000], ids=["many ties", "few ties"])
@pytest.mark.parametrize("inside", [True, False], ids=["queries are rows", "queries are not rows"])
def test_equal_to_a_full_sort(tmp_path: Path, grid: int, inside: bool) -> None:
    random = np.random.default_rng(grid)
    # Small integers: every product is exact, so that ties are ties.
    vectors = random.integers(-grid, grid + 1, size=(20_000, 4)).astype(np.float32)
    vectors[:, 0] = 1
    labels = random.integers(0, 50, 20_000)
    ids = random.permutation(20_000)
    chosen = random.choice(20_000, 23, replace=False)
    asked = vectors[chosen] if inside else random.integers(-grid, grid + 1, size=(23, 4)).astype(np.float32)
    asked_ids = ids[chosen] if inside else np.arange(100_000, 100_023)
    path = write_vectors(tmp_path / "g.parquet", vectors, ids, [f"c{label}" for label in labels])
    rows = StoredRows.open([path], Columns(label="label"), None)
    queries = Queries(pa.array(asked_ids), pa.array([f"c{labels[row]}" for row in chosen]), asked)
    found = relevant_ranks(rows, queries, "ip").ranks
    for query, row in enumerate(chosen):
        itself = ids == asked_ids[query]
        scores = (vectors @ asked[query]).astype(np.float32)
        expected = slow_ranks(scores, ids, (labels == labels[row]) & ~itself, itself)
        assert found[query].tolist() == expected


def test_metrics_equal_trec_eval(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    # A query picks a column, each a permutation: no ties, which trec_eval breaks the other way round.
    vectors = np.stack([random.permutation(3_000) for _ in range(8)], axis=1).astype(np.float32)
    labels = random.integers(0, 400, 3_000)
    asked, asked_labels = np.eye(8, dtype=np.float32)[np.arange(40) % 8], random.integers(0, 400, 40)
    path = write_vectors(tmp_path / "g.parquet", vectors, None, [f"c{label}" for label in labels])
    rows = StoredRows.open([path], Columns(label="label"), None)
    names = [f"q{i}" for i in range(40)]
    queries = Queries(pa.array(names), pa.array([f"c{label}" for label in asked_labels]), asked)
    ranks = relevant_ranks(rows, queries, "ip").ranks
    scores = asked @ vectors.T
    run = [
        ir_measures.ScoredDoc(q, f"r{d:05d}", float(scores[i, d])) for i, q in enumerate(names) for d in range(3_000)
    ]
    qrels = [
        ir_measures.Qrel(q, f"r{d:05d}", 1)
        for i, q in enumerate(names)
        for d in np.flatnonzero(labels == asked_labels[i])
    ]
    theirs = {(one.query_id, str(one.measure)): one.value for one in ir_measures.iter_calc(TREC.values(), qrels, run)}
    for name, measure in TREC.items():
        for query, one in zip(names, ranks, strict=True):
            assert METRICS[name](one) == pytest.approx(theirs.get((query, str(measure)), 0.0), abs=1e-9)


def test_a_query_without_relevant_rows_scores_zero() -> None:
    for metric in METRICS.values():
        assert metric(np.empty(0, np.int64)) == 0.0
