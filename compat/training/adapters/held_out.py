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
"""Nearest rows by the new vectors that a map should keep."""
QUERIES_AT_ONCE = 256
MOST_ROWS = 16_384
"""Most rows that held-out queries search."""
MOST_HELD_OUT, SHARE_HELD_OUT = 1_000, 0.2
"""Most pairs, and the share of the pairs, that are held out at once."""
ENOUGH_HELD_OUT, FOLDS = 200, 5
"""If the share is fewer pairs than the first number, each of the second number of parts is held out in turn."""
FEWEST_LABELLED = 50
"""With fewer labelled queries than this, maps are not chosen by labels."""
T = TypeVar("T")


def held_out(pairs: int, seed: int) -> list[Tensor]:
    """Masks of the pairs to hold out, each (S,) bool: one mask of a fifth of the pairs, at most 1,000.

    If a fifth is fewer than 200 pairs, there are five masks, which hold out each fifth in turn.
    """
    order = torch.randperm(pairs, generator=torch.Generator().manual_seed(seed))
    count = min(MOST_HELD_OUT, round(SHARE_HELD_OUT * pairs))
    parts = [order[:count]] if count >= ENOUGH_HELD_OUT else torch.tensor_split(order, FOLDS)
    return [torch.zeros(pairs, dtype=torch.bool).index_fill(0, part, True) for part in parts]


@dataclass(frozen=True)
class Measured:
    """Held-out retrieval of one map: values of H queries in [0, 1], higher is better.

    Attributes:
        agreement: (H,) share of the 10 rows nearest in the new space that are among the 10 whose stored vectors are
            nearest to the mapped query.
        reciprocal_rank: (H,) of the query's own stored row among all rows. Maps are not chosen by it, because a map
            that also imitates the old encoder's mistakes would win.
        right_class: (H,) whether the row whose stored vector is nearest to the mapped query has the query's label
            (CMC@1); NaN for a query without a label, or with a label that no row has.
    """

    agreement: Tensor
    reciprocal_rank: Tensor
    right_class: Tensor

    @classmethod
    def joined(cls, parts: Sequence[Measured]) -> Measured:
        """The queries of all parts."""
        columns = zip(*((one.agreement, one.reciprocal_rank, one.right_class) for one in parts), strict=True)
        return cls(*map(torch.cat, columns))

    @property
    def by_labels(self) -> bool:
        """Whether enough queries have labels to choose a map by them."""
        return int(self.right_class.isfinite().sum()) >= FEWEST_LABELLED

    @property
    def decisive(self) -> float:
        """Mean by which a map is chosen: of `right_class`, or of `agreement` where too few queries have labels."""
        return float(self.right_class.nanmean() if self.by_labels else self.agreement.mean())

    def means(self) -> dict[str, float]:
        """Mean of each measure over the queries; of `right_class` only if enough queries have labels."""
        means = {"agreement": float(self.agreement.mean()), "reciprocal_rank": float(self.reciprocal_rank.mean())}
        return {**means, "right_class": self.decisive} if self.by_labels else means


class HeldOutRetrieval:
    """Held-out pairs as queries against the stored vectors of other pairs.

    Args:
        queries: H pairs that the measured maps were not fitted to.
        rows: the other pairs; at most 16,384 of them are searched. These are drawn at random, as galleries may be
            sorted.
    """

    def __init__(self, queries: PairSample, rows: PairSample) -> None:
        self._queries = queries
        self._rows = rows.at(torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:MOST_ROWS])
        self._wanted = [_nearest(new @ self._rows.new.T) for new in torch.split(queries.new, QUERIES_AT_ONCE)]

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

    def _right_class(self, first: Tensor) -> Tensor:
        """(H,) whether the first row found has the query's label; NaN for a query whose label no row has.

        Args:
            first: (H,) position of the first row found.
        """
        wanted, labels = self._queries.labels, self._rows.labels
        if wanted is None or labels is None:
            return torch.full((len(first),), torch.nan)
        findable = (wanted >= 0) & torch.isin(wanted, labels)
        return (labels[first] == wanted).float().masked_fill(~findable, torch.nan)


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
        named: the method and settings, or another value that identifies the map.
    """

    named: T
    measured: Measured


def best_of(candidates: Sequence[Candidate[T]]) -> Candidate[T]:
    """The candidate with the highest `decisive` mean; of equal ones the first, because simpler maps come first."""
    return max(candidates, key=lambda one: one.measured.decisive)
