"""Re-ranking against a ranking of everything by numpy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from skipfill.compat.reranking.candidates import CandidateRows
from skipfill.compat.reranking.new_vectors import NewVectors
from skipfill.compat.reranking.rerank import rerank
from skipfill.store.overlays.overlay import Overlay
from skipfill.store.parquet.stored_rows import Columns, StoredRows
from skipfill.store.parquet.vectors import normalised
from skipfill.store.retrieval.ranks import Queries, relevant_ranks
from skipfill.store.retrieval.relevance import Judgements, SameLabel
from skipfill.store.retrieval.search import Hits, search
from tests.conftest import write_vectors

ROWS, QUERIES = 60, 25


@dataclass(frozen=True)
class Case:
    """Vectors of rows and queries in two spaces, in steps so coarse that many scores tie."""

    rows: StoredRows
    ids: list[str]
    labels: np.ndarray
    old_rows: np.ndarray
    new_rows: np.ndarray
    old: np.ndarray
    new: np.ndarray
    known: np.ndarray

    def hits(self, k: int) -> Hits:
        return search(self.rows, self.old, k)


@pytest.fixture(params=range(4))
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    random = np.random.default_rng(request.param)
    coarse = [random.integers(-2, 3, (count, 3)).astype(np.float32) for count in (ROWS, ROWS, QUERIES, QUERIES)]
    for vectors in coarse:
        vectors[~vectors.any(axis=1)] = 1
    ids = [f"r{number:03d}" for number in random.permutation(ROWS)]
    labels = random.integers(0, 5, ROWS).astype(str)
    path = write_vectors(tmp_path / "rows.parquet", coarse[0], ids, labels)
    rows = StoredRows.open([path], Columns(label="label"), None)
    return Case(rows, ids, labels, coarse[0], coarse[1], coarse[2], coarse[3], random.random(ROWS) < 0.6)


def cosines(queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(Q, N) float64 cosines of float32 unit vectors, rounded to float32."""
    return np.einsum("qd,nd->qn", normalised(queries).astype(float), normalised(rows).astype(float)).astype(np.float32)


def expected_order(case: Case, query: int, own: str, k: int) -> list[int]:
    """Rows as they should be ranked: by definition, with lists alone."""
    old, new = (cosines(one, rows)[query] for one, rows in ((case.old, case.old_rows), (case.new, case.new_rows)))
    ranking = sorted((row for row in range(ROWS) if case.ids[row] != own), key=lambda row: (-old[row], case.ids[row]))
    places = [place for place, row in enumerate(ranking[:k]) if case.known[row]]
    best = sorted((ranking[place] for place in places), key=lambda row: (-new[row], case.ids[row]))
    for place, row in zip(places, best, strict=True):
        ranking[place] = row
    return ranking


def new_vectors(case: Case, candidates: CandidateRows) -> NewVectors:
    at = [case.ids.index(one) for one in candidates.ids.to_pylist()]
    known = case.known[at]
    vectors = np.where(known[:, None], normalised(case.new_rows[at]), 0).astype(np.float32)
    nothing = np.zeros(len(at), bool)
    return NewVectors(candidates.ids, vectors, known, nothing, nothing, Overlay(0, 3), None)


def own_ids(case: Case) -> pa.Array:
    """Every second query is a row."""
    return pa.array([case.ids[query] if query % 2 else None for query in range(QUERIES)], pa.string())


@pytest.mark.parametrize("k", [1, 7, 59, 60, 80])
def test_the_order_is_that_of_a_ranking_of_everything(case: Case, k: int) -> None:
    own = own_ids(case)
    candidates = CandidateRows.of(case.hits(k + 1), own, k)
    order = rerank(candidates, case.new, new_vectors(case, candidates), k)
    new, old = cosines(case.new, case.new_rows), cosines(case.old, case.old_rows)
    for query in range(QUERIES):
        wanted = expected_order(case, query, own[query].as_py(), k)[:k]
        found = [candidates.ids[int(row)].as_py() for row in candidates.rows[query, order.order[query]] if row >= 0]
        assert found == [case.ids[row] for row in wanted]
        scores = np.take_along_axis(order.scores[query], order.order[query], axis=0)[: len(wanted)]
        assert scores.tolist() == [(new if case.known[row] else old)[query, row] for row in wanted]


@pytest.mark.parametrize("k", [1, 7, 59, 80])
@pytest.mark.parametrize("graded", [False, True])
def test_ranks_follow_from_old_ranks(case: Case, k: int, graded: bool) -> None:
    own = own_ids(case)
    asked = np.arange(QUERIES) % 5
    truth: SameLabel | Judgements = SameLabel(pa.array(asked.astype(str)))
    if graded:
        query, row = np.nonzero(asked[:, None].astype(str) == case.labels)
        grades = (1 + (query * 7 + row) % 3).astype(np.float32)
        truth = Judgements(QUERIES, query, pa.array([case.ids[one] for one in row]), grades)
    old = relevant_ranks(case.rows, Queries(own, truth, case.old))
    candidates = CandidateRows.of(case.hits(k + 1), own, k)
    after = rerank(candidates, case.new, new_vectors(case, candidates), k).ranks(old)
    for query in range(QUERIES):
        ranking = expected_order(case, query, own[query].as_py(), k)
        wanted = [
            (rank, (1 + (query * 7 + row) % 3) if graded else 1)
            for rank, row in enumerate(ranking, 1)
            if case.labels[row] == str(asked[query])
        ]
        assert after.ranks[query].tolist() == [rank for rank, _ in wanted]
        if graded:
            assert after.grades is not None
            assert after.grades[query].tolist() == [grade for _, grade in wanted]


def test_rows_behind_the_candidates_keep_their_places(case: Case) -> None:
    own = pa.nulls(QUERIES, pa.string())
    wide = CandidateRows.of(case.hits(30), own, 30)
    order = rerank(wide, case.new, new_vectors(case, wide), 10)
    for query in range(QUERIES):
        wanted = expected_order(case, query, "", 10)[:30]
        assert [wide.ids[int(row)].as_py() for row in wide.rows[query, order.order[query]]] == [
            case.ids[row] for row in wanted
        ]
