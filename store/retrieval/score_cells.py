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

from skipfill.store.retrieval.products import Places, Precision, Scores
from skipfill.store.retrieval.zones import Products, QueryZones, zones_of

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

        Attributes:
        zones: in which exact scores decide; the cells that they reach into come last.
        """
        self._relevant, self._scale = relevant, scale
        starts, ends = zones_of(relevant, scale.slack, scale.precision)
        bins, bin_begins = _bin_of_places(scale.parts)
        first, last = (_places_of(borders, scale, len(bins)) for borders in (starts, ends))
        zones = _zones_at(first, last, len(bins))
        marked = zones > 0
        begins = bin_begins.copy()
        begins[1:] |= marked[:-1]
        begins &= ~marked
        marks = marked.nonzero()[0]
        self._free = int(begins.sum())
        self._table = begins.cumsum(dtype=np.uint16) - np.uint16(1)
        self._table[marks] = np.arange(self._free, self._free + len(marks))
        in_marks = last.searchsorted(marks).astype(np.int32)
        self.zones = QueryZones(starts, ends, in_marks, in_marks + zones[marks] - np.int32(1))
        self._counts = np.zeros(self._free + len(marks), np.uint32)

    def add(self, products: Products, left_out: Places, scratch: Scratch) -> tuple[Places, NDArray[np.uint16]]:
        """Count (N,) products; return the positions of those near a zone, and in which of its cells each lies.

        Args:
            left_out: positions that are not counted.
        """
        places = self._scale.places(products, scratch)
        places[left_out] = LEFT_OUT
        cells = scratch.cells[: len(products)]
        self._table.take(places, mode="clip", out=cells)
        # Every query has such counts: half the memory of a sum matters.
        np.add(self._counts, np.bincount(cells, minlength=len(self._counts)), out=self._counts, casting="unsafe")
        near: Places = (cells >= self._free).nonzero()[0]
        return near, cells[near] - np.uint16(self._free)

    def above(self, between: NDArray[np.uint32]) -> Places:
        """(R,) how many of the scores counted are above each relevant one, ascending as these are.

        Args:
            between: (Z + 1,) of `Zones`, of those near a zone.
        """
        ends = self.zones.ends
        last = _places_of(ends, self._scale, len(self._table))
        below = last.searchsorted(self._first_places()[: self._free])
        free = np.bincount(below, self._counts[: self._free], minlength=len(last) + 1).astype(np.int64)
        # A relevant score is below whatever lies above the zone that it is in.
        return from_above(free + between)[ends.searchsorted(self._relevant, side="right") + 1]

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


def from_above(counts: NDArray[Any]) -> NDArray[np.int64]:
    """(n + 1,) sums of the counts from each place on."""
    return np.append(counts[::-1].cumsum(dtype=np.int64)[::-1], 0)


def _places_of(borders: Products, scale: Scale, places: int) -> Places:
    return scale.places(borders, Scratch(len(borders), scale.precision)).clip(LEFT_OUT + 1, places - 1)


def _zones_at(first: Places, last: Places, places: int) -> NDArray[np.int16]:
    """The number of zones that reach into each place, from their first and last ones."""
    changes = np.zeros(places + 1, np.int16)
    np.add.at(changes, first, np.int16(1))
    np.add.at(changes, last + 1, np.int16(-1))
    return changes[:-1].cumsum(dtype=np.int16)
