"""Candidates for re-ranking: the first rows of each query by a ranking in the gallery's space."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skipfill.store.parquet.ids import positions
from skipfill.store.retrieval.search import Hits

NONE = -1
"""Fills the places after a query's last candidate."""


@dataclass(frozen=True)
class CandidateRows:
    """The K candidates of each of Q queries, best first.

    Attributes:
        ids: (n,) of every row that is a candidate of some query, each once; there may be ids of other rows too.
        rows: (Q, K) their positions in `ids`; -1 where there are fewer rows than K.
        scores: (Q, K) float32, in the gallery's space.
    """

    ids: pa.Array
    rows: NDArray[np.int64]
    scores: NDArray[np.float32]

    @classmethod
    def of(cls, hits: Hits, own: pa.Array, k: int) -> CandidateRows:
        """The first `k` hits of each query, without its own row.

        Args:
            hits: at least `k` + 1 for each query, or all rows.
            own: (Q,) id of each query's own row; NULL if the query is not a row.
        """
        queries, found = hits.scores.shape
        coded = hits.ids.dictionary_encode()
        rows = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64).reshape(queries, found)
        selves = positions(own, coded.dictionary)
        left_out = (rows == selves[:, None]) & (selves[:, None] >= 0)
        kept = np.argsort(left_out, axis=1, kind="stable")[:, :k]
        rows = np.where(np.take_along_axis(left_out, kept, axis=1), NONE, np.take_along_axis(rows, kept, axis=1))
        return cls(coded.dictionary, rows, np.take_along_axis(hits.scores, kept, axis=1))._without_others()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def k(self) -> int:
        return int(self.rows.shape[1])

    @property
    def there(self) -> NDArray[np.bool_]:
        """(Q, K) whether there is a candidate."""
        there: NDArray[np.bool_] = self.rows != NONE
        return there

    def first(self, k: int) -> CandidateRows:
        """The first `k` candidates of each query; `ids` stays as it is."""
        return replace(self, rows=self.rows[:, :k], scores=self.scores[:, :k])

    def among_first(self, k: int) -> NDArray[np.bool_]:
        """(n,) whether each row is among the first `k` of some query."""
        among = np.zeros(len(self.ids), bool)
        rows = self.rows[:, :k]
        among[rows[rows != NONE]] = True
        return among

    def _without_others(self) -> CandidateRows:
        """The same candidates, with `ids` reduced to rows that are candidates."""
        named, rows = np.unique(self.rows[self.there], return_inverse=True)
        renumbered = np.full(self.rows.shape, NONE, np.int64)
        renumbered[self.there] = rows.reshape(-1)
        return replace(self, ids=self.ids.take(pa.array(named)), rows=renumbered)
