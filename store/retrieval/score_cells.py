"""Counting of scores between the relevant scores of one query, without sorting them.

The range of scores is cut into bins. A table says of each bin whether a relevant score lies in it, or so near that
rounding matters. Most scores fall into other bins and are counted by the table alone; the rest are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skipfill.store.retrieval.products import SCORE_ROUNDING, Places, Precision, Scores

Products = NDArray[Any]
"""float32 or float64, as multiplied."""
BINS = 2048
"""Bins of the histogram that is reported."""
FINEST = 31
"""Parts that a bin is cut into, at most: the numbers of all parts fit in 16 bits."""
PARTS_PER_SCORE = 256
ROWS_PER_PART = 8_192
"""Rows for which the table of one more part is worth its while."""
LEFT_OUT, FIRST = 0, 2
"""Places in the table: of what is not counted, and of the lowest bin; between them, of what lies below the range."""


def parts_for(relevant: int, rows: int) -> int:
    """The number of parts to cut each bin into, for this many relevant scores of a query among so many rows."""
    return max(1, min(PARTS_PER_SCORE * relevant // BINS, rows // ROWS_PER_PART, FINEST))


@cache
def _bin_of_places(parts: int) -> tuple[Places, NDArray[np.bool_]]:
    """The bin of each place in the table, -1 of what is not counted; and whether it is the first place of its bin."""
    bins = ((np.arange(BINS * parts + FIRST + 1) - FIRST) // parts).clip(0, BINS - 1)
    bins[LEFT_OUT] = -1
    return bins, np.diff(bins, prepend=-2) != 0


@dataclass(frozen=True)
class Scale:
    """Cut of the scores from -bound to bound into bins, and of each bin into parts.

    Attributes:
        slack: how far a product may lie from the float64 one.
    """

    bound: float
    slack: float
    parts: int
    precision: Precision

    def places(self, products: Products, scratch: Scratch) -> Places:
        """The place in the table of each of N products, in memory of `scratch`; a larger one has no smaller place."""
        half = BINS * self.parts / 2
        count = len(products)
        scaled, places = scratch.scaled[:count], scratch.places[:count]
        np.multiply(products, self.precision(half / self.bound), out=scaled)
        np.add(scaled, self.precision(half + FIRST), out=scaled)
        np.copyto(places, scaled, casting="unsafe")
        return places


class Scratch:
    """Memory for one call after the other: to get it anew takes longer than the work in it."""

    def __init__(self, rows: int, precision: Precision) -> None:
        self.scaled = np.empty(rows, precision)
        self.places = np.empty(rows, np.int64)
        self.cells = np.empty(rows, np.uint16)


class ScoreCells:
    """Scores of other rows, counted between the relevant scores of one query."""

    def __init__(self, relevant: Scores, scale: Scale) -> None:
        """Args:
        relevant: (R,) ascending exact scores.
        """
        self._relevant, self._scale = relevant, scale
        self._starts, self._ends = _zones(relevant, scale)
        bins, bin_begins = _bin_of_places(scale.parts)
        first, last = (_places_of(borders, scale, len(bins)) for borders in (self._starts, self._ends))
        zones = _zones_at(first, last, len(bins))
        marked = zones > 0
        begins = bin_begins.copy()
        begins[1:] |= marked[:-1]
        begins &= ~marked
        marks = marked.nonzero()[0]
        self._free = int(begins.sum())
        self._table = begins.cumsum(dtype=np.uint16) - np.uint16(1)
        self._table[marks] = np.arange(self._free, self._free + len(marks))
        self._first, self._several = last.searchsorted(marks).astype(np.int32), zones[marks] > 1
        self._counts = np.zeros(self._free + len(marks), np.uint32)
        self._between = np.zeros(2 * len(self._ends) + 1, np.uint32)
        self._exact = np.zeros(len(relevant) + 1, np.uint32)

    def add(self, products: Products, left_out: Places, scratch: Scratch) -> Places:
        """Count (N,) products; return the positions of those in doubt, whose exact scores `add_exact` counts.

        Args:
            left_out: positions that are not counted.
        """
        places = self._scale.places(products, scratch)
        places[left_out] = LEFT_OUT
        cells = scratch.cells[: len(products)]
        self._table.take(places, mode="clip", out=cells)
        _count(cells, self._counts)
        near: Places = (cells >= self._free).nonzero()[0]
        if len(near) == 0:
            return near
        between = self._between_zones(products[near], cells[near].astype(np.int64) - self._free)
        _count(between, self._between)
        doubtful: Places = near[(between & 1).astype(bool)]
        return doubtful

    def _between_zones(self, products: Products, mark: Places) -> Places:
        """Twice the number of zones below each product that lies in a marked place; odd inside a zone."""
        zone = self._first[mark].astype(np.int64)
        beyond = products >= self._ends[zone]
        between = 2 * zone + (products >= self._starts[zone]) + beyond
        several = (beyond & self._several[mark]).nonzero()[0]
        if len(several):
            some = products[several]
            between[several] = self._starts.searchsorted(some, side="right")
            between[several] += self._ends.searchsorted(some, side="right")
        return between

    def add_exact(self, scores: Scores) -> None:
        """Count exact scores that were in doubt; equal ones are not above."""
        _count(self._relevant.searchsorted(scores), self._exact)

    def above(self) -> Places:
        """(R,) how many of the scores counted are above each relevant one, ascending as these are."""
        last = _places_of(self._ends, self._scale, len(self._table))
        below = last.searchsorted(self._first_places()[: self._free])
        free = np.bincount(below, self._counts[: self._free], minlength=len(last) + 1).astype(np.int64)
        free += self._between[::2]
        # A relevant score is below whatever lies above the zone that it is in.
        zone = np.searchsorted(self._ends, self._relevant, side="right")
        return _from_above(free)[zone + 1] + _from_above(self._exact)[1:-1]

    def histogram(self) -> NDArray[np.uint32]:
        """(B,) how many of the scores counted fall in each bin of the range, its lower bound included."""
        bins = _bin_of_places(self._scale.parts)[0][self._first_places()]
        held = bins >= 0
        return np.bincount(bins[held], self._counts[held], minlength=BINS).astype(np.uint32)

    def _first_places(self) -> Places:
        """(C,) the first place of each cell."""
        changes = np.flatnonzero(np.diff(self._table, prepend=self._table[0] + np.uint16(1)))
        first = np.empty(len(self._counts), np.int64)
        first[self._table[changes]] = changes
        return first


def _count(numbers: NDArray[Any], counts: NDArray[np.uint32]) -> None:
    """Add how often each number occurs. Every query has such counts: half the memory matters."""
    np.add(counts, np.bincount(numbers, minlength=len(counts)), out=counts, casting="unsafe")


def _from_above(counts: NDArray[Any]) -> NDArray[np.int64]:
    """(n + 1,) sums of the counts from each place on."""
    return np.append(counts[::-1].cumsum(dtype=np.int64)[::-1], 0)


def _zones(relevant: Scores, scale: Scale) -> tuple[Products, Products]:
    """Starts, included, and ends, not included, of the stretches of doubt around relevant scores, where they meet
    joined."""
    up, down = scale.precision(np.inf), scale.precision(-np.inf)
    exact = relevant.astype(np.float64)
    slack = scale.slack + SCORE_ROUNDING * np.abs(exact)
    starts = np.nextafter((exact - slack).astype(scale.precision), down)
    ends = np.nextafter(np.nextafter((exact + slack).astype(scale.precision), up), up)
    apart = starts[1:] > ends[:-1]
    return starts[np.append(True, apart)[: len(starts)]], ends[np.append(apart, True)[: len(ends)]]


def _places_of(borders: Products, scale: Scale, places: int) -> Places:
    return scale.places(borders, Scratch(len(borders), scale.precision)).clip(LEFT_OUT + 1, places - 1)


def _zones_at(first: Places, last: Places, places: int) -> NDArray[np.int16]:
    """The number of zones that reach into each place, from their first and last ones."""
    changes = np.zeros(places + 1, np.int16)
    np.add.at(changes, first, np.int16(1))
    np.add.at(changes, last + 1, np.int16(-1))
    return changes[:-1].cumsum(dtype=np.int16)
