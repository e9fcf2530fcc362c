"""Means of loss terms over steps."""

from __future__ import annotations

from torch import Tensor


class TermMeans:
    """Weighted means of loss terms, kept on the device until they are read.

    Attributes:
        last: name -> mean, as last read.
    """

    def __init__(self) -> None:
        self._totals: dict[tuple[str, ...], Tensor] = {}
        self._weight = 0.0
        self.last: dict[str, float] = {}

    def add(self, names: tuple[str, ...], weighted: Tensor, weight: float) -> None:
        """Add (T,) loss terms of these names, each already multiplied by the weight."""
        self._weight += weight
        self._totals[names] = self._totals[names] + weighted if names in self._totals else weighted

    def read(self) -> dict[str, float]:
        """Name -> mean over all steps so far. This waits for the device."""
        self.last = {}
        for names, totals in self._totals.items():  # a part of a batch without pairs has fewer terms
            for name, total in zip(names, totals.tolist(), strict=True):
                self.last[name] = self.last.get(name, 0.0) + total / self._weight
        return self.last
