"""Ranks and metrics against a full sort and against trec_eval (ir_measures)."""

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
    queries = Queries(pa.array(asked_ids), SameLabel(pa.array([f"c{labels[row]}" for row in chosen])), asked)
    found = relevant_ranks(rows, queries, "ip").ranks
    for query, row in enumerate(chosen):
        itself = ids == asked_ids[query]
        scores = (vectors @ asked[query]).astype(np.float32)
        expected = slow_ranks(scores, ids, (labels == labels[row]) & ~itself, itself)
        assert found[query].tolist() == expected


@pytest.mark.parametrize("grid", [2, 1000], ids=["many ties", "few ties"])
def test_judgements_with_grades_equal_a_full_sort(tmp_path: Path, grid: int) -> None:
    random = np.random.default_rng(grid)
    vectors = random.integers(-grid, grid + 1, size=(17_000, 3)).astype(np.float32)
    vectors[:, 0] = 1
    asked = random.integers(-grid, grid + 1, size=(9, 3)).astype(np.float32)
    ids = random.permutation(17_000)
    query = np.sort(random.integers(1, 9, 400))  # nothing was judged for query 0
    row = np.concatenate([random.choice(ids, (query == one).sum(), replace=False) for one in range(9)])
    grade = random.integers(1, 4, 400).astype(np.float32)
    path = write_vectors(tmp_path / "g.parquet", vectors, ids)
    rows = StoredRows.open([path], Columns(), None)
    nobody = pa.nulls(9, pa.int64())
    found = relevant_ranks(rows, Queries(nobody, Judgements(9, query, pa.array(row), grade), asked), "ip")
    assert found.grades is not None
    for one in range(9):
        scores = (vectors @ asked[one]).astype(np.float32)
        order = np.lexsort((ids, -scores))
        judged = dict(zip(row[query == one].tolist(), grade[query == one].tolist(), strict=True))
        expected = [(rank, judged[ids[at]]) for rank, at in enumerate(order, start=1) if ids[at] in judged]
        assert found.ranks[one].tolist() == [rank for rank, _ in expected]
        assert found.grades[one].tolist() == [grade for _, grade in expected]
        others = np.sort(scores[~np.isin(ids, list(judged))])
        assert found.others[one].sum() == len(others)
        np.testing.assert_array_equal(found.others[one], np.histogram(others, found.edges.astype(np.float32))[0])


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
    "name", ["", "CMC", "CMC@0", "CMC@x", "mAP@5", "TAR@FAR=0", "TAR@FAR=2", "TAR@FAR=x", "nDCG@-1"]
)
def test_a_metric_that_is_none(name: str) -> None:
    assert metric(name) is None


def test_a_query_without_relevant_rows_scores_zero() -> None:
    nothing = Ranking(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.float32), lambda far: 0.0)
    for name in (*TREC, "TAR@FAR=0.01"):
        value_of = metric(name)
        assert value_of is not None
        assert value_of(nothing) == 0.0
