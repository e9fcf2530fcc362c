"""A row of the advice's table: an alternative to staying, its results and what it costs to serve."""

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
        name: as people read it.
        kind: `view`, `blend`, `rerank` or `reindex`.
        alternative: its results.
        baselines: pair -> (Q,) results of staying among the same stored rows: old/old, perhaps released/old.
        measured_on: number of stored rows that it was measured on.
        reencodes: whether every row of the gallery is encoded again.
        encodes_old: whether a query is encoded by the old model too.
        weight: weight of the new query in a blend; None for other kinds.
        encodes: number of stored rows that the queries of the advice touch, which a re-ranking encodes; 0 for other
            kinds.
        k: number of stored rows that are re-ranked for a query; None for other kinds.
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
        why: the reason, a sentence.
    """

    why: str


MakeRow = Callable[[Candidate, Mask], Row | Missing]
"""Makes a row for a candidate. It chooses a weight, if it needs one, on the queries of a (Q,) mask."""


def among_all_rows(candidate: Candidate, cost: int, values: Values) -> Alternative:
    """The alternative with these (Q,) results among all stored rows. Staying is to use what is released now."""
    return Alternative(cost, values, list(candidate.staying.values())[-1])
