"""Stretches of scores around the relevant ones of some queries, in which rounding matters; and counts between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from skipfill.store.retrieval.products import SCORE_ROUNDING, Places, Precision, Scores

Products = NDArray[Any]
"""float32 or float64, as multiplied."""


@dataclass(frozen=True)
class QueryZones:
    """The Z zones of one query, and the M cells that they reach into.

    Attributes:
        starts, ends: (Z,) ascending; starts are included, ends are not.
        first, last: (M,) the first and the last zone that reaches into each cell.
    """

    starts: Products
    ends: Products
    first: NDArray[np.int32]
    last: NDArray[np.int32]


class Zones:
    """The zones of q queries, and how many scores lie in each and below it.

    All queries are looked at in one call: of each, a block has only a few scores near a zone.
    """

    def __init__(self, of_queries: Sequence[QueryZones]) -> None:
        zones = np.append(0, np.cumsum([len(one.starts) for one in of_queries]))
        cells = np.append(0, np.cumsum([len(one.first) for one in of_queries]))
        self._starts, self._ends = (
            np.concatenate([getattr(one, name) for one in of_queries]) for name in ("starts", "ends")
        )
        self._first, self._last = (
            np.concatenate([getattr(one, name) + of for one, of in zip(of_queries, zones, strict=False)])
            for name in ("first", "last")
        )
        self._cells = cells[:-1]
        # Between and inside zones in turn: of each query there is one more between than inside.
        self._counted_from = 2 * zones + np.arange(len(zones))
        self._counts = np.zeros(self._counted_from[-1], np.uint32)

    def add(self, query: Places, cell: Places, products: Products) -> NDArray[np.bool_]:
        """Count (P,) products near a zone; return which lie in one: their exact scores decide.

        Args:
            query: (P,) of each.
            cell: (P,) which of the query's cells each lies in, among those that zones reach into.
        """
        cell = self._cells[query] + cell
        zone = self._first[cell]
        beyond = products >= self._ends[zone]
        inside: NDArray[np.bool_] = (products >= self._starts[zone]) & ~beyond
        between = 2 * zone + (query + inside + 2 * beyond)
        more = (beyond & (zone < self._last[cell])).nonzero()[0]
        if len(more):  # one zone reaches into most cells
            some, last = products[more], self._last[cell[more]]
            further = bisected(self._ends, zone[more] + 1, last + 1, some, side="right")
            inside[more] = (further <= last) & (some >= self._starts[np.minimum(further, last)])
            between[more] = 2 * further + query[more] + inside[more]
        np.add.at(self._counts, between, np.uint32(1))
        return inside

    def between(self, query: int) -> NDArray[np.uint32]:
        """(Z + 1,) how many scores of a query lie between its zones, from the lowest on; those inside do not count."""
        return self._counts[self._counted_from[query] : self._counted_from[query + 1] : 2]


def zones_of(relevant: Scores, slack: float, precision: Precision) -> tuple[Products, Products]:
    """Starts and ends of the zones around (R,) ascending relevant scores; zones that meet are joined.

    Args:
        slack: how far a product may lie from the float64 one.
    """
    up, down = precision(np.inf), precision(-np.inf)
    exact = relevant.astype(np.float64)
    slacks = slack + SCORE_ROUNDING * np.abs(exact)
    starts = np.nextafter((exact - slacks).astype(precision), down)
    ends = np.nextafter(np.nextafter((exact + slacks).astype(precision), up), up)
    apart = starts[1:] > ends[:-1]
    return starts[np.append(True, apart)[: len(starts)]], ends[np.append(apart, True)[: len(ends)]]


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
