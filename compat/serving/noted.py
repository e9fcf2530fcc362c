"""Queries of a service with two answers each, as rows: the columns of the Parquet files of shadow traffic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skipfill.compat.inference.given import Given
from skipfill.compat.serving.answers import Answers, Find, Found

SCORES = pa.list_(pa.float32())


@dataclass(frozen=True)
class Noted:
    """N queries of one call, and the released model's answers.

    Attributes:
        milliseconds: that this took, divided by N.
        at: when it was answered.
        find: the index that was searched.
        about: further columns, each with one value for all rows.
    """

    queries: Given
    old_vectors: NDArray[np.floating] | None
    answers: Answers
    k: int
    milliseconds: float
    at: datetime
    find: Find
    about: dict[str, Any]

    def __len__(self) -> int:
        return len(self.answers.ids)

    def rows(self, candidate: str, found: Found | None, milliseconds: float, failure: str) -> pa.Table:
        """A row for each query. Its first columns make it an item: id, input, perhaps old vector.

        Args:
            found: what the candidate answered; None where it failed.
            milliseconds: that this took, divided by N.
        """
        answers, others = self.answers, [] if found is None else found[0]
        of_ids = pa.array([*answers.ids, *others]).type  # of both: where one found nothing, its ids have no type
        shared = [overlap(*pair) for pair in zip(answers.ids, others, strict=True)] if found is not None else []
        columns = {
            "id": pa.array(answers.query_ids, pa.string()),
            **_inputs(self.queries),
            **({} if self.old_vectors is None else {"old_vector": _lists(self.old_vectors)}),
            "at": pa.array([self.at] * len(self), pa.timestamp("ms", "UTC")),
            **{name: pa.array([value] * len(self)) for name, value in self.about.items()},
            "candidate": pa.array([candidate] * len(self)),
            "k": pa.array([self.k] * len(self), pa.int32()),
            "released_ids": pa.array(answers.ids, of_ids),
            "released_scores": pa.array(answers.scores, SCORES),
            "released_ms": pa.array([self.milliseconds] * len(self)),
        }
        if found is None:
            of_candidate = {"candidate_ids": of_ids, "candidate_scores": SCORES}
            of_candidate |= dict.fromkeys(("candidate_ms", "overlap"), pa.float64())
            columns |= {name: pa.nulls(len(self), kind) for name, kind in of_candidate.items()}
        else:
            columns |= {
                "candidate_ids": pa.array(others, of_ids),
                "candidate_scores": pa.array(found[1], SCORES),
                "candidate_ms": pa.array([milliseconds] * len(self)),
                "overlap": pa.array(shared, pa.float64()),
            }
        return pa.table({**columns, "failure": pa.array([failure] * len(self))})


def overlap(one: Sequence[Any], other: Sequence[Any]) -> float:
    """The number of rows that two answers share, divided by the length of the longer one; 1 where both are empty."""
    return len(set(one) & set(other)) / max(len(one), len(other)) if one or other else 1.0


def _inputs(queries: Given) -> dict[str, pa.Array]:
    """The column that a model encodes, named by its kind."""
    if isinstance(queries, np.ndarray):
        return {"vector": _lists(queries)}
    values = [one["bytes"] if isinstance(one, dict) else one for one in queries]
    return {"text": pa.array(values)} if isinstance(values[0], str) else {"image": pa.array(values, pa.binary())}


def _lists(matrix: NDArray[np.floating]) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(matrix, np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1])
