"""Held-out retrieval: measures maps on pairs that they were not fitted to, and chooses one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from skipfill.compat.nn.view_maps import LinearMap

NEIGHBOURS = 10
QUERIES_AT_ONCE = 256
MOST_HELD_OUT, SHARE_HELD_OUT = 1_000, 0.2
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
        reciprocal_rank: (H,) of the query's own stored row among all rows.
        agreement: (H,) share of the 10 nearest rows of the query's own stored vector that are among the 10 nearest
            of the mapped query, itself left out of both.
    """

    reciprocal_rank: Tensor
    agreement: Tensor

    @property
    def score(self) -> Tensor:
        """(H,) the mean of both: the one alone would ask for the item itself, the other for its neighbours."""
        return (self.reciprocal_rank + self.agreement) / 2

    def means(self) -> dict[str, float]:
        """Both over the queries."""
        return {"reciprocal_rank": float(self.reciprocal_rank.mean()), "agreement": float(self.agreement.mean())}


class HeldOutRetrieval:
    """Held-out pairs as queries of stored rows.

    Args:
        new: (H, D) new vectors.
        old: (H, d) stored vectors of the same items.
        others: (R, d) further stored rows.
    """

    def __init__(self, new: Tensor, old: Tensor, others: Tensor) -> None:
        self._new = new
        self._rows = torch.cat([old, others])
        self._neighbours = self._nearest(old)

    def measure(self, fitted: LinearMap) -> Measured:
        """The retrieval of a map."""
        with torch.inference_mode():
            mapped = fitted(self._new)
            agreement = _overlap(self._nearest(mapped), self._neighbours)
            ranks = torch.cat([self._ranks(mapped, part) for part in self._parts()])
        return Measured(1 / ranks, agreement)

    def _parts(self) -> list[Tensor]:
        return list(torch.split(torch.arange(len(self._new)), QUERIES_AT_ONCE))

    def _ranks(self, queries: Tensor, part: Tensor) -> Tensor:
        """Ranks of the own rows of some queries; equal scores share theirs."""
        scores = queries[part] @ self._rows.T
        own = scores[torch.arange(len(part)), part][:, None]
        return (scores > own).sum(dim=1) + ((scores == own).sum(dim=1) + 1) / 2

    def _nearest(self, queries: Tensor) -> Tensor:
        """(H, k) the rows nearest to the queries, their own left out."""
        found = []
        for part in self._parts():
            scores = queries[part] @ self._rows.T
            scores[torch.arange(len(part)), part] = -torch.inf
            found.append(scores.topk(min(NEIGHBOURS, len(self._rows) - 1), dim=1).indices)
        return torch.cat(found)


def _overlap(found: Tensor, expected: Tensor) -> Tensor:
    """(H,) share of the expected rows that were found."""
    return (found[:, :, None] == expected[:, None, :]).any(dim=1).float().mean(dim=1)


@dataclass(frozen=True)
class Candidate(Generic[T]):
    """A map to choose among.

    Attributes:
        named: what it is.
    """

    named: T
    measured: Measured


def simplest_of_the_best(candidates: Sequence[Candidate[T]]) -> Candidate[T]:
    """The first candidate that is within one standard error of the best; simpler ones come first.

    The standard error is that of the difference of the two over the same queries.
    """
    best = max(candidates, key=lambda one: float(one.measured.score.mean()))
    for candidate in candidates:
        behind = best.measured.score - candidate.measured.score
        if behind.mean() <= behind.std() / len(behind) ** 0.5:
            return candidate
    return best
