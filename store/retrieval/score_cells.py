"""Counting of scores between the relevant scores of some queries, without sorting them.

The range of scores is cut into bins. A table says of each bin whether a relevant score lies in it, or so near that
rounding matters. Most scores fall into other bins and are counted by the table alone; the rest are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from skipfill.store.retrieval.products import Places, Precision, Scores
from skipfill.store.retrieval.zones import Products, Zones, numbered

BINS = 2048
"""Bins of the histogram that is reported."""
FINEST = 31
"""Parts that a bin is cut into, at most: the numbers of all parts fit in 16 bits."""
PARTS_PER_SCORE = 256
"""Parts of the whole range for each relevant score, so that few parts have a relevant score in or near them."""
ROWS_PER_PART = 8_192
"""Rows for which the table of one more part is worth its while."""
LEFT_OUT, FIRST = 0, 2
"""Places in the table: 0 of what is not counted, 1 of what rounding took below the range, and from 2 on those of the
parts of the bins, the lowest first; the last place is of what rounding took above the range."""


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
        bound: the largest score there can be.
        slack: how far a product may lie from the float64 one, in the units of the scores.
        parts: in each bin, 1 to FINEST.
        precision: of the products.
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
    """Scores of other rows, counted between the relevant scores of each of q queries."""

    def __init__(self, relevant: Scores, starts: Places, scale: Scale) -> None:
        """Cut the range of scores into cells: around relevant scores, where exact scores decide, and between these.

        Args:
            relevant: (R,) exact scores, query by query, those of each query ascending.
            starts: (q + 1,) where the scores of each query begin.
        """
        # A query's free cells, which no zone reaches into, have the first numbers; its other cells, one place each,
        # have those after them. `_tables` has the number of the cell of each place.
        self._scale, queries = scale, len(starts) - 1
        bin_begins = _bin_of_places(scale.parts)[1]
        self._places = len(bin_begins)
        self._zones = zones = Zones(
            relevant, np.repeat(np.arange(queries, dtype=np.int32), np.diff(starts)), queries, scale
        )
        first, last = self._places_of(zones.starts), self._places_of(zones.ends)
        reaching = _zones_at(first, last, queries, self._places)
        marked = reaching > 0
        begins = np.broadcast_to(bin_begins, marked.shape).copy()
        begins[:, 1:] |= marked[:, :-1]
        begins &= ~marked
        self._free = begins.sum(axis=1, dtype=np.uint16)  # as the cells: a wider number would widen them all
        self._tables = begins.cumsum(axis=1, dtype=np.uint16)
        self._tables -= np.uint16(1)
        query, place = marked.nonzero()
        of_queries = marked.sum(axis=1)
        self._tables[query, place] = self._free[query] + numbered(of_queries)
        first_zone = last.searchsorted(query * self._places + place)
        zones.reach_into(of_queries, first_zone, first_zone + reaching[query, place] - 1)
        self._cells = np.append(0, (self._free + of_queries).cumsum())
        self._counts = np.zeros(self._cells[-1], np.uint32)

    def add(
        self, query: int, products: Products, left_out: Places, scratch: Scratch
    ) -> tuple[Places, NDArray[np.uint16]]:
        """Count (N,) products of a query; return the positions of those near a zone, and in which cell each lies.

        Args:
            query: its number among the q.
            left_out: positions that are not counted.
        """
        places = self._scale.places(products, scratch)
        places[left_out] = LEFT_OUT
        cells = scratch.cells[: len(products)]
        self._tables[query].take(places, mode="clip", out=cells)
        counts = self._counts[self._cells[query] : self._cells[query + 1]]
        # Every query has such counts: half the memory of a sum matters.
        np.add(counts, np.bincount(cells, minlength=len(counts)), out=counts, casting="unsafe")
        free = self._free[query]
        near: Places = (cells >= free).nonzero()[0]
        return near, cells[near] - free

    def in_zones(self, query: Places, cell: NDArray[np.uint16], products: Products) -> NDArray[np.bool_]:
        """Count (P,) products near a zone; return which lie in one: their exact scores decide.

        Args:
            query, cell: (P,) of each, as `add` returned it.
        """
        return self._zones.add(query, cell, products)

    def above(self) -> Places:
        """(R,) how many of the scores counted are above each relevant one; those in zones do not count."""
        query, place, cell = self._first_places()
        free = cell - self._cells[query] < self._free[query]
        below = self._places_of(self._zones.ends).searchsorted((query * self._places + place)[free])
        return self._zones.above(query[free] + below, self._counts[cell[free]])

    def histograms(self) -> NDArray[np.uint32]:
        """(q, B) how many of the scores counted fall in each bin of the range, its lower bound included."""
        query, place, cell = self._first_places()
        bins = _bin_of_places(self._scale.parts)[0][place]
        held = bins >= 0
        counts = np.bincount((query * BINS + bins)[held], self._counts[cell[held]], minlength=len(self._free) * BINS)
        histograms: NDArray[np.uint32] = counts.reshape(-1, BINS).astype(np.uint32)
        return histograms

    def _places_of(self, borders: Products) -> Places:
        """(Z,) the places of the starts or ends of zones, counted on from one query to the next."""
        places = self._scale.places(borders, Scratch(len(borders), self._scale.precision))
        inside: Places = np.minimum(np.maximum(places, LEFT_OUT + 1), self._places - 1)
        counted_on: Places = self._zones.query * self._places + inside
        return counted_on

    def _first_places(self) -> tuple[Places, Places, Places]:
        """(C,) the query, the first place and the number of each of the C cells of all queries, by query and place."""
        changes = np.ones(self._tables.shape, bool)
        np.not_equal(self._tables[:, 1:], self._tables[:, :-1], out=changes[:, 1:])
        query, place = changes.nonzero()
        cell: Places = self._cells[query] + self._tables[query, place]
        return query, place, cell


def _zones_at(first: Places, last: Places, queries: int, places: int) -> NDArray[np.int16] | NDArray[np.int32]:
    """(q, places) the number of zones that reach into each place, from the first and last ones of each zone.

    Args:
        first, last: (Z,) places, counted on from one query to the next.
    """
    kind = np.int16 if len(first) < 2**15 else np.int32  # all zones may reach into one place
    changes = np.zeros(queries * places + 1, kind)
    np.add.at(changes, first, kind(1))
    np.add.at(changes, last + 1, kind(-1))
    return changes[:-1].cumsum(dtype=kind).reshape(queries, places)
