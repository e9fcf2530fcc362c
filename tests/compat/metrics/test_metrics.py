"""Metrics against trec_eval (ir_measures), and against sorting all scores."""

from __future__ import annotations

from pathlib import Path

import ir_measures
import numpy as np
import pyarrow as pa
import pytest

from skipfill.compat.evaluation.per_query import rankings
from skipfill.compat.metrics.ranking import Ranking
from skipfill.compat.metrics.registry import metric
from skipfill.store.parquet.stored_rows import Columns, StoredRows
from skipfill.store.retrieval.ranks import Queries, relevant_ranks
from skipfill.store.retrieval.relevance import Judgements, SameLabel
from tests.conftest import write_vectors

TREC = {
    "CMC@1": ir_measures.Success @ 1,
    "CMC@5": ir_measures.Success @ 5,
    "mAP": ir_measures.AP,
    "MRR": ir_measures.RR,
    "recall@10": ir_measures.R @ 10,
    "recall@100": ir_measures.R @ 100,
    "nDCG@10": ir_measures.nDCG @ 10,
    "nDCG@100": ir_measures.nDCG @ 100,
}


@pytest.mark.parametrize("ties", [False, True], ids=["no ties", "ties"])
def test_metrics_equal_trec_eval(tmp_path: Path, ties: bool) -> None:
    """Graded judgements. trec_eval breaks ties by descending id and we by ascending: it is given mirrored names."""
    random = np.random.default_rng(5)
    vectors = np.stack([random.permutation(3_000) for _ in range(8)], axis=1).astype(np.float32)
    if ties:
        vectors //= 100
    names = [f"q{i:02d}" for i in range(40)]
    asked = np.eye(8, dtype=np.float32)[np.arange(40) % 8]
    query = np.sort(random.integers(0, 39, 500))  # the last one has nothing to find
    row = np.concatenate([random.choice(3_000, (query == one).sum(), replace=False) for one in range(40)])
    grade = random.integers(1, 4, 500)
    path = write_vectors(tmp_path / "g.parquet", vectors)
    rows = StoredRows.open([path], Columns(), None)
    truth = Judgements(40, query, pa.array([f"r{one:05d}" for one in row]), grade.astype(np.float32))
    ranked = rankings(relevant_ranks(rows, Queries(pa.nulls(40, pa.string()), truth, asked), "ip"))
    scores = asked @ vectors.T
    run = [
        ir_measures.ScoredDoc(q, f"d{9_999 - d}", float(scores[i, d]))
        for i, q in enumerate(names)
        for d in range(3_000)
    ]
    qrels = [ir_measures.Qrel(names[q], f"d{9_999 - d}", int(g)) for q, d, g in zip(query, row, grade, strict=True)]
    theirs = {(one.query_id, str(one.measure)): one.value for one in ir_measures.iter_calc(TREC.values(), qrels, run)}
    for name, measure in TREC.items():
        ours = metric(name)
        assert ours is not None
        for q, one in zip(names, ranked, strict=True):
            assert ours(one) == pytest.approx(theirs.get((q, str(measure)), 0.0), abs=1e-9), name


def test_true_accept_rate_equals_sorting_all_scores(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(20_000, 6)).astype(np.float32)
    labels = random.integers(0, 40, 20_000)
    asked = vectors[:30] + 0.4 * random.normal(size=(30, 6)).astype(np.float32)
    path = write_vectors(tmp_path / "g.parquet", vectors, None, [f"c{label}" for label in labels])
    rows = StoredRows.open([path], Columns(label="label"), None)
    truth = SameLabel(pa.array([f"c{label}" for label in labels[:30]]))
    ranked = rankings(relevant_ranks(rows, Queries(pa.nulls(30, pa.string()), truth, asked)))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = (asked / np.linalg.norm(asked, axis=1, keepdims=True)) @ unit.T
    relevant = labels[:30, None] == labels[None, :]
    for far in (0.1, 0.01, 0.001):
        cutoff = np.quantile(scores[~relevant], 1 - far)
        slow = [(scores[one, relevant[one]] >= cutoff).mean() for one in range(30)]
        ours = metric(f"TAR@FAR={far}")
        assert ours is not None
        np.testing.assert_allclose([ours(one) for one in ranked], slow, atol=0.01)


@pytest.mark.parametrize(
    "name", ["", "CMC", "CMC@0", "CMC@x", "mAP@5", "TAR@FAR=0", "TAR@FAR=2", "TAR@FAR=x", "nDCG@-1", "CMC@01", "CMC@٣"]
)
def test_a_metric_that_is_none(name: str) -> None:
    assert metric(name) is None


def test_a_query_without_relevant_rows_scores_zero() -> None:
    nothing = Ranking(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.float32), lambda far: 0.0)
    for name in (*TREC, "TAR@FAR=0.01"):
        value_of = metric(name)
        assert value_of is not None
        assert value_of(nothing) == 0.0
