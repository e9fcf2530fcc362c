"""The means of loss terms over steps."""

from __future__ import annotations

from torch import Tensor


class TermMeans:
    """Weighted means of loss terms, kept on the device until they are read."""

    def __init__(self) -> None:
        self._totals: dict[tuple[str, ...], Tensor] = {}
        self._weight = 0.0
        self.last: dict[str, float] = {}

    def add(self, names: tuple[str, ...], weighed: Tensor, weight: float) -> None:
        """The terms of these names, times the weight."""
        self._weight += weight
        self._totals[names] = self._totals[names] + weighed if names in self._totals else weighed

    def read(self) -> dict[str, float]:
        self.last = {}
        for names, totals in self._totals.items():  # a part of a batch without pairs has fewer terms
            for name, total in zip(names, totals.tolist(), strict=True):
                self.last[name] = self.last.get(name, 0.0) + total / self._weight
        return self.last
