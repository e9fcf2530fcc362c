"""Ranks against a full sort."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from skipfill.store.parquet.stored_rows import Columns, StoredRows
from skipfill.store.parquet.vectors import normalised
from skipfill.store.retrieval.products import rounding
from skipfill.store.retrieval.ranks import Queries, ranks_of_sets, relevant_ranks
from skipfill.store.retrieval.relevance import Judgements, SameLabel
from skipfill.store.retrieval.score_cells import Scale, ScoreCells
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
        others = scores[~np.isin(ids, list(judged))]
        assert found.others[one].sum() == len(others)
        # Up to rounding: a score as near to a bound as float32 can tell may be counted on its other side.
        bounds, near = found.edges[1:-1], 1e-6 * found.edges[-1]
        below = found.others[one].cumsum()[:-1]
        assert (below >= [(others < bound - near).sum() for bound in bounds]).all()
        assert (below <= [(others < bound + near).sum() for bound in bounds]).all()


def exact_ranks(asked: np.ndarray, vectors: np.ndarray, ids: np.ndarray, relevant: np.ndarray) -> list[list[int]]:
    """By float64 products rounded to float32, one pair at a time."""
    nobody = np.zeros(len(ids), bool)
    products = [[np.dot(one, row) for row in vectors.astype(np.float64)] for one in asked.astype(np.float64)]
    scores = np.array(products).astype(np.float32)
    return [slow_ranks(of_query, ids, mine, nobody) for of_query, mine in zip(scores, relevant, strict=True)]


@pytest.mark.parametrize("classes", [2, 3_000], ids=["most products in doubt", "few products in doubt"])
@pytest.mark.parametrize("distinct", [300, 36_000], ids=["repeated vectors", "distinct vectors"])
def test_equal_to_a_float64_ranking(tmp_path: Path, distinct: int, classes: int) -> None:
    """Real vectors over three blocks, so that equal rows lie at other places of their blocks: they must tie."""
    random = np.random.default_rng(distinct + classes)
    vectors = normalised(random.normal(size=(distinct, 37)).astype(np.float32))
    vectors = vectors[random.integers(0, distinct, 36_000)]
    labels, ids = random.integers(0, classes, 36_000), random.permutation(36_000)
    path = write_vectors(tmp_path / "g.parquet", vectors, ids, [f"c{label}" for label in labels])
    rows = StoredRows.open([path], Columns(label="label"), None)
    sets = [normalised(random.normal(size=(3, 37)).astype(np.float32)) for _ in range(2)]
    truth = SameLabel(pa.array([f"c{label}" for label in labels[:3]]))
    found = ranks_of_sets(rows, pa.nulls(3, pa.int64()), truth, sets, "ip")
    for one, asked in zip(found, sets, strict=True):
        expected = exact_ranks(asked, vectors, ids, labels[:3, None] == labels)
        assert [ranks.tolist() for ranks in one.ranks] == expected
        assert one.others.sum(axis=1).tolist() == [36_000 - len(ranks) for ranks in expected]


@pytest.mark.parametrize("size", [1e-18, 1e-4, 1e17])
def test_sizes_of_vectors_do_not_change_ranks(tmp_path: Path, size: float) -> None:
    random = np.random.default_rng(1)
    vectors = random.normal(size=(2_000, 5)).astype(np.float32)
    asked = random.normal(size=(4, 5)).astype(np.float32)
    labels = random.integers(0, 9, 2_000)
    truth = SameLabel(pa.array([f"c{label}" for label in labels[:4]]))
    path = write_vectors(tmp_path / "g.parquet", vectors * np.float32(size), None, [f"c{label}" for label in labels])
    rows = StoredRows.open([path], Columns(label="label"), None)
    found = relevant_ranks(rows, Queries(pa.nulls(4, pa.string()), truth, asked * np.float32(size)), "ip").ranks
    expected = exact_ranks(asked, vectors, np.arange(2_000), labels[:4, None] == labels)
    assert [ranks.tolist() for ranks in found] == expected


def test_tens_of_thousands_of_relevant_rows_in_one_place(tmp_path: Path) -> None:
    """One row is far longer than all others, so that all their scores lie in one bin."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(160_000, 8)).astype(np.float32)
    vectors[-1] *= 1e5
    is_relevant = random.random(160_000) < 0.5
    asked = random.normal(size=(1, 8)).astype(np.float32)
    path = write_vectors(tmp_path / "g.parquet", vectors, np.arange(160_000), ["ab"[int(one)] for one in is_relevant])
    rows = StoredRows.open([path], Columns(label="label"), None)
    queries = Queries(pa.nulls(1, pa.int64()), SameLabel(pa.array(["b"])), asked)
    scores = (vectors.astype(np.float64) @ asked[0].astype(np.float64)).astype(np.float32)
    order = np.lexsort((np.arange(160_000), -scores))
    expected = np.flatnonzero(is_relevant[order]) + 1
    assert np.array_equal(relevant_ranks(rows, queries, "ip").ranks[0], expected)


def test_memory_of_a_query_is_small() -> None:
    """A check has thousands of queries under three models, and a table and counts of each."""
    scale = Scale(1.0, rounding(128, 1.0, np.float32), 1, np.float32)
    relevant = np.linspace(-0.5, 0.5, 10).astype(np.float32)
    ScoreCells(relevant, np.array([0, 10]), scale)  # what all queries share
    tracemalloc.start()
    cells = ScoreCells(np.tile(relevant, 20), np.arange(21) * 10, scale)
    size = tracemalloc.get_traced_memory()[0] / 20
    tracemalloc.stop()
    del cells
    assert size < 20_000
