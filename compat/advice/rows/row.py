"""A row of the advice's table: an alternative to staying, and what serves it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from skipfill.compat.advice.candidate import Candidate
from skipfill.compat.advice.decision import Alternative
from skipfill.compat.evaluation.statistics.bootstrap import Values
from skipfill.compat.gate.admission.ruling import Mask


@dataclass(frozen=True)
class Row:
    """An alternative to staying for one candidate.

    Attributes:
        name: for people.
        kind: `view`, `blend`, `rerank` or `reindex`.
        alternative: its results.
        baselines: (Q,) results of staying by pair, among the same rows: old/old, perhaps released/old.
        measured_on: how many stored rows it was measured on.
        reencodes: whether every row of the gallery is encoded again.
        encodes_old: whether a query is encoded by the old model too.
        weight: of the new query in a blend; None for other rows.
        encodes: how many rows the queries of the advice touch, which are encoded; 0 for other rows.
        k: number of candidates that are re-ranked; None for other rows.
        lacks_vectors: whether some of these have no new vector, and keep their places.
    """

    name: str
    kind: str
    candidate: Candidate
    alternative: Alternative
    baselines: dict[str, Values]
    measured_on: int
    reencodes: bool = False
    encodes_old: bool = False
    weight: float | None = None
    encodes: int = 0
    k: int | None = None
    lacks_vectors: bool = False


@dataclass(frozen=True)
class Missing:
    """A row that cannot be in the table.

    Attributes:
        why: a sentence.
    """

    why: str


MakeRow = Callable[[Candidate, Mask], Row | Missing]
"""A candidate and (Q,) bool, the queries that choose: whatever a row chooses, it chooses on these."""


def among_all_rows(candidate: Candidate, cost: int, values: Values) -> Alternative:
    """The alternative with these (Q,) results among all stored rows. Staying is to use what is released now."""
    return Alternative(cost, values, list(candidate.staying.values())[-1])
