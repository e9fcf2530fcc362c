"""Distributions of scores in a check."""

from __future__ import annotations

from dataclasses import dataclass

from skipfill.store.errors import BadInput


@dataclass(frozen=True)
class ScoreDistribution:
    """Histograms of the scores of one pair.

    Attributes:
        pair: query model / gallery space.
        edges: (B + 1,) ascending bounds of the bins.
        relevant: (B,) share of the pairs of a query and a row relevant to it in each bin.
        others: (B,) the same of all other pairs.
    """

    pair: str
    edges: list[float]
    relevant: list[float]
    others: list[float]

    def __post_init__(self) -> None:
        sizes = len(self.edges) - 1, len(self.relevant), len(self.others)
        if len(set(sizes)) > 1:
            raise BadInput("scores", expected="a share for each bin", found="{} bins, {} and {} shares".format(*sizes))
