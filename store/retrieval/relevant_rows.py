"""Exact scores of the rows that are relevant to queries, from one pass over a gallery."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skipfill.store.engine.engine import LOCAL, Engine
from skipfill.store.engine.threads import product_threads
from skipfill.store.parquet.ids import IdSet, positions, ranked
from skipfill.store.parquet.parts import map_rows
from skipfill.store.parquet.stored_rows import Block, StoredRows
from skipfill.store.parquet.vectors import Matrix, Similarity, longest
from skipfill.store.retrieval.products import Places, Scores, comparable, shared_exact_scores
from skipfill.store.retrieval.relevance import BlockRelevance, Pairs, Relevance

Numbers = NDArray[np.int32]
"""Positions of queries and of relevant rows: there may be more pairs than rows, and half the memory counts."""


@dataclass(frozen=True)
class RelevantRows:
    """The P relevant rows of Q queries, query by query, those of each query by ascending score.

    Where grades differ, equal scores are ordered by descending id. Otherwise their order does not matter.

    Attributes:
        starts: (Q + 1,) where the rows of each query begin.
        scores: (P,) exact.
        grades: (P,) how relevant; None when all are 1.
        ids: of every row that is relevant to some query, each once.
        place: (P,) positions in `ids`.
    """

    starts: Places
    scores: Scores
    grades: NDArray[np.float32] | None
    ids: pa.Array
    place: Numbers

    def of(self, query: int) -> slice:
        """The places of the rows of a query."""
        return slice(self.starts[query], self.starts[query + 1])

    def among(self, sample: IdSet) -> RelevantRows:
        """Those of a sample of the rows."""
        kept = sample.holds(self.ids)[self.place]
        starts = np.append(0, kept.cumsum())[self.starts]
        grades = None if self.grades is None else self.grades[kept]
        return RelevantRows(starts, self.scores[kept], grades, self.ids, self.place[kept])


@dataclass(frozen=True)
class BlockTruth:
    """The relevant rows of one block, and the rows that are queries themselves.

    Attributes:
        relevance: of all rows of the block, queries' own ones included.
        selves: (Q,) position of each query's own row; -1 where it is in another block, or no row.
    """

    relevance: BlockRelevance
    selves: Places

    @classmethod
    def of(cls, block: Block, ids: pa.Array, truth: Relevance) -> BlockTruth:
        """Look at a block.

        Args:
            ids: (Q,) of the queries; NULL where they are not rows.
        """
        return cls(truth.of(block), positions(ids, block.ids))

    def pairs(self) -> Iterator[Pairs]:
        """All relevant pairs but those of a query and its own row, in parts."""
        for pairs in self.relevance.pairs():
            yield pairs.filter(pairs.row != self.selves[pairs.query])

    def not_others(self, part: slice) -> list[Places]:
        """Of each of some queries, the positions of the rows that are relevant or itself."""
        pairs = self.relevance.pairs_of(part)
        selves = np.flatnonzero(self.selves[part] >= 0)
        query = np.concatenate([pairs.query - part.start, selves])
        row = np.concatenate([pairs.row, self.selves[part][selves]])[np.argsort(query, kind="stable")]
        ends = np.bincount(query, minlength=part.stop - part.start).cumsum()
        return np.split(row, ends[:-1])


def score_relevant_rows(
    rows: StoredRows,
    ids: pa.Array,
    truth: Relevance,
    sets: Sequence[Matrix],
    similarity: Similarity,
    progress: Callable[[int], None],
    engine: Engine = LOCAL,
) -> tuple[list[RelevantRows], float]:
    """The relevant rows under each of S sets of query vectors, and the length of the longest stored vector.

    Args:
        ids: (Q,) of the queries.
        sets: S of (Q, D), comparable with the rows.
        engine: scores parts of the rows.
    """
    asked = _Asked(ids, truth, sets, similarity)
    found = _Found.joined(list(map_rows(_found, rows, asked, engine, progress)))
    return [found.sorted_by(scores, len(ids)) for scores in found.scores], found.length


@dataclass(frozen=True)
class _Asked:
    """Q queries under S sets of vectors, comparable with rows."""

    ids: pa.Array
    truth: Relevance
    sets: Sequence[Matrix]
    similarity: Similarity


def _found(rows: StoredRows, asked: _Asked, progress: Callable[[int], None]) -> _Found:
    sets = asked.sets
    length, known = 0.0, 0
    query, place, grade = [np.empty(0, np.int32)], [np.empty(0, np.int32)], [np.empty(0, np.float32)]
    names = [pa.array([], rows.id_kind)]
    scores = [[np.empty(0, np.float32)] for _ in sets]
    with product_threads() as threads:
        for block in rows.blocks():
            vectors = comparable(block.vectors, asked.similarity, block.lengths)
            length = max(length, longest(block.vectors, block.lengths))
            is_relevant = np.zeros(len(vectors), bool)
            of_block = len(query)
            for pairs in BlockTruth.of(block, asked.ids, asked.truth).pairs():
                for one, of_set in zip(sets, scores, strict=True):
                    of_set.append(shared_exact_scores(threads, one, vectors, pairs.query, pairs.row, block.ids))
                is_relevant[pairs.row] = True
                query.append(pairs.query.astype(np.int32))
                place.append(pairs.row.astype(np.int32))
                grade.append(pairs.grade)
            numbers = (is_relevant.cumsum() - 1 + known).astype(np.int32)
            place[of_block:] = [numbers[row] for row in place[of_block:]]
            names.append(block.ids.filter(pa.array(is_relevant)))
            known += len(names[-1])
            progress(len(sets) * len(asked.ids) * len(vectors))
    grades = np.concatenate(grade) if asked.truth.graded else None
    of_sets = [np.concatenate(of_set) for of_set in scores]
    return _Found(np.concatenate(query), np.concatenate(place), grades, pa.concat_arrays(names), of_sets, length)


@dataclass(frozen=True)
class _Found:
    """P relevant pairs, in the order of the rows.

    Attributes:
        query: (P,) positions of the queries.
        place: (P,) positions in `ids`.
        grades: (P,); None when all are 1.
        ids: of every row that is relevant to some query.
        scores: of each set, (P,) exact scores.
        length: of the longest row, relevant or not.
    """

    query: Numbers
    place: Numbers
    grades: NDArray[np.float32] | None
    ids: pa.Array
    scores: list[Scores]
    length: float

    @classmethod
    def joined(cls, parts: list[_Found]) -> _Found:
        """Those of some parts of the rows, in their order."""
        if len(parts) == 1:
            return parts[0]
        known = np.cumsum([0, *(len(part.ids) for part in parts)])
        grades = [part.grades for part in parts if part.grades is not None]
        return cls(
            np.concatenate([part.query for part in parts]),
            np.concatenate([part.place + before for part, before in zip(parts, known, strict=False)], dtype=np.int32),
            np.concatenate(grades) if grades else None,
            pa.concat_arrays([part.ids for part in parts]),
            [np.concatenate(of_set) for of_set in zip(*(part.scores for part in parts), strict=True)],
            max(part.length for part in parts),
        )

    def sorted_by(self, scores: Scores, queries: int) -> RelevantRows:
        """By (P,) scores, for `queries` queries."""
        keys = (scores, self.query) if self.grades is None else (-ranked(self.ids)[self.place], scores, self.query)
        order = np.lexsort(keys)
        starts = np.append(0, np.bincount(self.query, minlength=queries).cumsum())
        grades = None if self.grades is None else self.grades[order]
        return RelevantRows(starts, scores[order], grades, self.ids, self.place[order])
