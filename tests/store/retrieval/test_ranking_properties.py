"""Ranks and hits against scoring one pair at a time and sorting everything, for galleries of every strange kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skipfill.compat.inference.bfloat16 import Bfloat16
from skipfill.store.parquet import stored_rows
from skipfill.store.parquet.ids import IdSet
from skipfill.store.parquet.stored_rows import Columns, StoredRows
from skipfill.store.parquet.vectors import Similarity
from skipfill.store.retrieval import candidates, other_rows, ranks, score_cells, search
from skipfill.store.retrieval.products import comparable
from skipfill.store.retrieval.relevance import Judgements, Relevance, SameLabel

KINDS = {
    "small integers": lambda random, shape: random.integers(-2, 3, shape),
    "any": lambda random, shape: random.normal(size=shape),
    "all equal": lambda random, shape: np.repeat(random.normal(size=(1, shape[1])), shape[0], axis=0),
    "few distinct": lambda random, shape: random.normal(size=(3, shape[1]))[random.integers(0, 3, shape[0])],
    "axes": lambda random, shape: np.eye(shape[1])[random.integers(0, shape[1], shape[0])],
    "large": lambda random, shape: random.normal(size=shape) * 1e18,
    "one is large": lambda random, shape: (
        random.normal(size=shape) * np.where(np.arange(shape[0]) == 1, 1e18, 1)[:, None]
    ),
    "small": lambda random, shape: random.normal(size=shape) * 1e-20,
    "denormal": lambda random, shape: random.integers(-3, 4, shape) * 1.4e-45,
    "all sizes": lambda random, shape: random.normal(size=shape) * 10.0 ** random.integers(-22, 18, (shape[0], 1)),
}


def drawn(kind: str, random: np.random.Generator, count: int, dim: int) -> np.ndarray:
    """Vectors of a kind; none is all zeros."""
    vectors = KINDS[kind](random, (count, dim)).astype(np.float32)
    vectors[~vectors.any(axis=1), 0] = 1.4e-45 if kind == "denormal" else 1
    return vectors


@dataclass(frozen=True)
class Case:
    """A gallery, and queries of which some may be its rows.

    Attributes:
        asked: S of (Q, D).
        own: (Q,) place of each query's own row; -1 for none.
        grades: (Q, N) of the rows; 0 for those that are not relevant.
    """

    vectors: np.ndarray
    ids: np.ndarray
    labels: list[str | None]
    asked: list[np.ndarray]
    own: np.ndarray
    grades: np.ndarray
    truth: Relevance

    @classmethod
    def of(cls, seed: int, rows: int, dim: int, kinds: tuple[str, str], judged: bool, are_rows: bool) -> Case:
        random = np.random.default_rng(seed)
        vectors = drawn(kinds[0], random, rows, dim)
        ids = random.permutation(3 * rows)[:rows]
        labels = [None if one == 0 else f"c{one}" for one in random.integers(0, 4, rows)]
        chosen = random.permutation(rows)[:5]
        asked = [drawn(kinds[1], random, len(chosen), dim) for _ in range(2)]
        if are_rows:
            asked[0] = vectors[chosen]
        own = chosen if are_rows else np.full(len(chosen), -1)
        if judged:
            grades = random.integers(0, 4, (len(chosen), rows)) * (random.random((len(chosen), rows)) < 0.3)
            query, row = grades.nonzero()
            missing = pa.array([*ids[row], 10**6])  # the last one is not in the gallery
            of_pairs = np.append(grades[query, row], 1).astype(np.float32)
            truth: Relevance = Judgements(len(chosen), np.append(query, len(chosen) - 1), missing, of_pairs)
        else:
            wanted = [labels[one] or "no row has it" for one in chosen]
            grades = np.array([[int(label == one) for label in labels] for one in wanted])
            truth = SameLabel(pa.array(wanted))
        return cls(vectors, ids, labels, asked, own, grades, truth)

    def written(self, folder: Path, cuts: list[int], group: int) -> StoredRows:
        """The gallery in files, some of which may be empty, of small row groups, the first and last of no row."""
        whole = pa.table({"id": self.ids, "vector": list(self.vectors), "label": pa.array(self.labels, pa.string())})
        files = []
        for first, last in zip([0, *cuts], [*cuts, len(self.ids)], strict=True):
            files.append(folder / f"{len(files)}.parquet")
            with pq.ParquetWriter(files[-1], whole.schema) as writer:
                for part in (whole.slice(0, 0), whole.slice(first, last - first), whole.slice(0, 0)):
                    writer.write_table(part, row_group_size=group)
        return StoredRows.open(files, Columns(label="label"), self.vectors.shape[1])

    def scores(self, asked: np.ndarray, similarity: Similarity) -> np.ndarray:
        """(Q, N) each pair alone: the float64 product, rounded to float32."""
        queries, rows = (comparable(one, similarity).astype(np.float64) for one in (asked, self.vectors))
        return np.array([[np.einsum("d,d->", one, row) for row in rows] for one in queries]).astype(np.float32)

    def ranking(self, scores: np.ndarray, rows: np.ndarray) -> list[int]:
        return sorted(np.flatnonzero(rows).tolist(), key=lambda row: (-scores[row], self.ids[row]))


@contextmanager
def small_limits(block: int, doubt: float) -> Iterator[None]:
    """Blocks of few rows, parts of few queries, tables of fine bins, so that few rows reach every branch."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in (
            (stored_rows, "BLOCK_ROWS", block),
            (search, "QUERIES_AT_ONCE", 2),
            (search, "PAIRS_AT_ONCE", 3),
            (candidates, "BLOCK_ROWS", block),
            (candidates, "PRODUCTS_AT_ONCE", 4),
            (candidates, "GROUP", 2),
            (candidates, "FIRST_ROWS", 2),
            (candidates, "MANY", 1),
            (candidates, "MANY_OF_ALL", doubt),
            (ranks, "QUERIES_AT_ONCE", 2),
            (other_rows, "MUCH_DOUBT", doubt),
            (score_cells, "ROWS_PER_PART", 1),
            (score_cells, "PARTS_PER_SCORE", score_cells.BINS),
        ):
            patch.setattr(module, name, value)
        yield


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rows=st.sampled_from([1, 2, 3, 20, 50]),
    dim=st.sampled_from([1, 2, 3, 17]),
    kinds=st.tuples(st.sampled_from(sorted(KINDS)), st.sampled_from(sorted(KINDS))),
    similarity=st.sampled_from(["cosine", "ip"]),
    judged=st.booleans(),
    are_rows=st.booleans(),
    cuts=st.lists(st.floats(0, 1), max_size=3),
    block=st.sampled_from([1, 3, 8]),
    doubt=st.sampled_from([0.0, 2.0]),
    k=st.sampled_from([1, 3, 100]),
    fast=st.booleans(),
)
@example(0, 20, 3, ("denormal", "denormal"), "ip", True, False, [0.5], 3, 0.0, 3, False)
@example(0, 50, 17, ("small", "denormal"), "ip", False, False, [], 8, 2.0, 3, True)
@example(1, 50, 17, ("one is large", "any"), "ip", False, True, [0.0, 1.0], 8, 0.0, 3, True)
def test_equal_to_a_sort_of_exact_scores(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    rows: int,
    dim: int,
    kinds: tuple[str, str],
    similarity: Similarity,
    judged: bool,
    are_rows: bool,
    cuts: list[float],
    block: int,
    doubt: float,
    k: int,
    fast: bool,
) -> None:
    case = Case.of(seed, rows, dim, kinds, judged, are_rows)
    stored = case.written(tmp_path_factory.mktemp("g"), sorted(int(cut * rows) for cut in cuts), block + 1)
    query_ids = pa.array([case.ids[one] if one >= 0 else None for one in case.own], pa.int64())
    some = np.random.default_rng(seed).random(rows) < 0.5
    sample = IdSet.of([pa.array(case.ids[some])])
    with small_limits(block, doubt):
        found = ranks.ranks_of_sets(stored, query_ids, case.truth, case.asked, similarity, sample=sample)
        hits = search.search(stored, case.asked[0], k, similarity, rough=Bfloat16() if fast else None)
    every = np.ones(rows, bool)
    for of_set, asked in zip(found, case.asked, strict=True):
        scores = case.scores(asked, similarity)
        assert of_set.of_sample is not None
        for counted, among in ((of_set, every), (of_set.of_sample, some)):
            for query, own in enumerate(case.own):
                order = case.ranking(scores[query], among & (np.arange(rows) != own))
                relevant = [(rank, row) for rank, row in enumerate(order, start=1) if case.grades[query, row]]
                assert counted.ranks[query].tolist() == [rank for rank, _ in relevant]
                assert counted.scores[query].tolist() == [scores[query, row] for _, row in relevant]
                assert counted.others[query].sum() == len(order) - len(relevant)
                if counted.grades is not None:
                    assert counted.grades[query].tolist() == [case.grades[query, row] for _, row in relevant]
    scores = case.scores(case.asked[0], similarity)
    expected = [case.ranking(one, every)[:k] for one in scores]
    assert hits.ids.to_pylist() == [case.ids[row] for order in expected for row in order]
    assert hits.scores.tolist() == [[one[row] for row in order] for one, order in zip(scores, expected, strict=True)]
