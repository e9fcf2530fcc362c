"""Held-out retrieval: measures maps on pairs that they were not fitted to, and chooses one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from skipfill.compat.methods.adapters.pairs import PairSample
from skipfill.compat.nn.view_maps import LinearMap

NEIGHBOURS = 10
QUERIES_AT_ONCE = 256
MOST_ROWS = 16_384
MOST_HELD_OUT, SHARE_HELD_OUT = 1_000, 0.2
FEWEST_LABELLED = 50
"""Held-out pairs with labels below which labels do not decide."""
T = TypeVar("T")


def held_out(pairs: int, seed: int) -> Tensor:
    """(S,) bool, which of S pairs are held out: a fifth, and 1,000 at most."""
    chosen = torch.zeros(pairs, dtype=torch.bool)
    count = min(MOST_HELD_OUT, round(SHARE_HELD_OUT * pairs))
    chosen[torch.randperm(pairs, generator=torch.Generator().manual_seed(seed))[:count]] = True
    return chosen


@dataclass(frozen=True)
class Measured:
    """Held-out retrieval of one map, each query's in [0, 1], higher is better.

    Attributes:
        agreement: (H,) share of the 10 rows nearest in the new space that are among the 10 whose stored vectors are
            nearest to the mapped query.
        reciprocal_rank: (H,) of the query's own stored row among all rows. It does not decide: a map that
            also imitates the old encoder's mistakes would win.
        right_class: (L,) of the queries with labels, whether the row whose stored vector is nearest to the mapped query
            has the label (CMC@1); None where too few have one.
    """

    agreement: Tensor
    reciprocal_rank: Tensor
    right_class: Tensor | None

    @property
    def decisive(self) -> Tensor:
        """What a map is chosen by: the truth of labels, and without it the new encoder's opinion of what is similar."""
        return self.agreement if self.right_class is None else self.right_class

    def means(self) -> dict[str, float]:
        """Each over the queries."""
        of_labels = {} if self.right_class is None else {"right_class": float(self.right_class.mean())}
        means = {"agreement": float(self.agreement.mean()), "reciprocal_rank": float(self.reciprocal_rank.mean())}
        return {**means, **of_labels}


class HeldOutRetrieval:
    """Held-out pairs as queries against the stored vectors of other pairs.

    Args:
        queries: H pairs, to which no map that is measured was fitted.
        rows: the other pairs; at most 16,384 of them are searched, drawn at random: galleries lie in some order.
    """

    def __init__(self, queries: PairSample, rows: PairSample) -> None:
        self._queries = queries
        self._rows = rows.at(torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:MOST_ROWS])
        self._wanted = [_nearest(new @ self._rows.new.T) for new in torch.split(queries.new, QUERIES_AT_ONCE)]
        self._labelled = _with_rows_of_their_class(queries, self._rows)

    def measure(self, fitted: LinearMap) -> Measured:
        """The retrieval of a map."""
        agreement, ranks, first = [], [], []
        parts = (torch.split(side, QUERIES_AT_ONCE) for side in (self._queries.new, self._queries.old))
        with torch.inference_mode():
            for new, old, wanted in zip(*parts, self._wanted, strict=True):
                mapped = fitted(new)
                scores = mapped @ self._rows.old.T
                own = (mapped * old).sum(dim=1, keepdim=True)
                agreement.append(_overlap(_nearest(scores), wanted))
                first.append(scores.argmax(dim=1))
                ranks.append(1 + (scores > own).sum(dim=1) + (scores == own).sum(dim=1) / 2)  # ties share a rank
        return Measured(torch.cat(agreement), 1 / torch.cat(ranks), self._right_class(torch.cat(first)))

    def _right_class(self, first: Tensor) -> Tensor | None:
        """(L,) whether the first row found, (H,), is of the query's class."""
        if self._labelled.sum() < FEWEST_LABELLED:
            return None
        assert self._queries.labels is not None
        assert self._rows.labels is not None
        return (self._rows.labels[first] == self._queries.labels)[self._labelled].float()


def _with_rows_of_their_class(queries: PairSample, rows: PairSample) -> Tensor:
    """(H,) bool, the queries that have a label and a row to find by it."""
    if queries.labels is None or rows.labels is None:
        return torch.zeros(len(queries), dtype=torch.bool)
    return (queries.labels >= 0) & torch.isin(queries.labels, rows.labels)


def _nearest(scores: Tensor) -> Tensor:
    """(Q, 10) positions of the highest scores; of all rows, where there are fewer."""
    return scores.topk(min(NEIGHBOURS, scores.shape[1]), dim=1).indices


def _overlap(found: Tensor, wanted: Tensor) -> Tensor:
    """(Q,) share of the wanted rows that were found."""
    return (found[:, :, None] == wanted[:, None, :]).any(dim=1).float().mean(dim=1)


@dataclass(frozen=True)
class Candidate(Generic[T]):
    """A map to choose among.

    Attributes:
        named: what it is.
    """

    named: T
    measured: Measured


def best_of(candidates: Sequence[Candidate[T]]) -> Candidate[T]:
    """The candidate with the best mean of what decides, of equal ones the first: simpler maps come first."""
    return max(candidates, key=lambda one: float(one.measured.decisive.mean()))
