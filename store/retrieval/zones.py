"""Zones: stretches of scores around the relevant ones of some queries, in which rounding decides; and counts between.

A product outside all zones is surely above or below each relevant score. Only a product inside one needs its exact
score.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from skipfill.store.retrieval.products import SCORE_ROUNDING, Places, Precision, Scores

Products = NDArray[Any]
"""float32 or float64, as multiplied."""


class Rounding(Protocol):
    """The most that products may lie from exact scores.

    Attributes:
        slack: the most that a product may lie from the float64 one, in the units of the scores.
        precision: of the products.
    """

    @property
    def slack(self) -> float: ...

    @property
    def precision(self) -> Precision: ...


class Zones:
    """The Z zones of q queries, and how many scores lie between them.

    Attributes:
        starts, ends: (Z,) of each zone, query by query, ascending; starts are included, ends are not.
        query: (Z,) of each.
    """

    def __init__(self, relevant: Scores, query: Places, queries: int, rounding: Rounding) -> None:
        """Put a zone around each relevant score, and join zones that meet.

        Args:
            relevant: (R,) exact scores, query by query, those of each query ascending.
            query: (R,) of each.
            queries: q.
        """
        up, down = rounding.precision(np.inf), rounding.precision(-np.inf)
        exact = relevant.astype(np.float64)
        slacks = rounding.slack + SCORE_ROUNDING * np.abs(exact)
        starts = np.nextafter((exact - slacks).astype(rounding.precision), down)
        ends = np.nextafter(np.nextafter((exact + slacks).astype(rounding.precision), up), up)
        apart = (starts[1:] > ends[:-1]) | (query[1:] != query[:-1])
        first, last = np.append(True, apart)[: len(starts)], np.append(apart, True)[: len(ends)]
        self.starts, self.ends, self.query = starts[first], ends[last], query[first]
        self._of_relevant = first.cumsum(dtype=np.int32) - np.int32(1)
        self._zones = np.append(0, np.bincount(self.query, minlength=queries).cumsum())
        # Between and inside zones in turn: of each query there is one more between than inside.
        self._counts = np.zeros(2 * len(self.starts) + queries, np.uint32)

    def reach_into(self, cells: Places, first: Places, last: Places) -> None:
        """Set which zones reach into each of the M cells that any zone reaches into.

        Args:
            cells: (q,) the number of such cells of each query; their sum is M.
            first, last: (M,) the first and the last zone that reaches into each cell, query by query.
        """
        self._cells = cells.cumsum() - cells
        self._first, self._last = first.astype(np.int32), last.astype(np.int32)

    def add(self, query: Places, cell: NDArray[np.uint16], products: Products) -> NDArray[np.bool_]:
        """Count (P,) products near a zone; return which lie in one: their exact scores decide.

        Args:
            query: (P,) of each.
            cell: (P,) which of the query's cells each lies in, among those that zones reach into.
        """
        at = self._cells[query] + cell
        zone = self._first[at]
        beyond = products >= self.ends[zone]
        inside: NDArray[np.bool_] = (products >= self.starts[zone]) & ~beyond
        between = 2 * zone + (query + inside + 2 * beyond)
        more = (beyond & (zone < self._last[at])).nonzero()[0]
        if len(more):  # one zone reaches into most cells
            some, last = products[more], self._last[at[more]]
            further = bisected(self.ends, zone[more] + 1, last + 1, some, side="right")
            inside[more] = (further <= last) & (some >= self.starts[np.minimum(further, last)])
            between[more] = 2 * further + query[more] + inside[more]
        np.add.at(self._counts, between, np.uint32(1))
        return inside

    def above(self, place: Places, counts: NDArray[np.uint32]) -> Places:
        """(R,) how many scores lie above the zone of each relevant one and in no other zone.

        Args:
            place: (C,) for each cell that no zone reaches into: the number of the query, plus the number of zones that
                lie below the cell in the query, or belong to queries before it.
            counts: (C,) of the scores in each of these cells.
        """
        queries = len(self._zones) - 1
        between = np.bincount(place, counts, minlength=len(self.starts) + queries).astype(np.int64)
        query_of = np.repeat(np.arange(queries), np.diff(self._zones) + 1)
        between += self._counts[2 * np.arange(len(between)) - query_of]
        before = np.append(0, between.cumsum())
        query = self.query[self._of_relevant]
        # A relevant score is below whatever lies above the zone that it is in.
        above: Places = before[self._zones[query + 1] + query + 1] - before[self._of_relevant + query + 1]
        return above


def numbered(counts: Places) -> Places:
    """0, 1, 2, ... for each group in turn, from (G,) counts."""
    return np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)


def bisected(
    values: NDArray[Any],
    first: NDArray[Any],
    end: NDArray[Any],
    wanted: NDArray[Any],
    *,
    side: Literal["left", "right"],
) -> Places:
    """(P,) positions of P numbers as `searchsorted` gives them, each among its own ascending part of the values.

    Args:
        first, end: (P,) bounds of the parts; ends are not included.
    """
    passes = np.less if side == "left" else np.less_equal
    low, high = first.astype(np.int64), end.astype(np.int64)
    unsure = np.flatnonzero(low < high)
    while len(unsure):
        middle = (low[unsure] + high[unsure]) // 2
        above = passes(values[middle], wanted[unsure])
        low[unsure[above]] = middle[above] + 1
        high[unsure[~above]] = middle[~above]
        unsure = unsure[low[unsure] < high[unsure]]
    return low
