"""Applies the rules of admission that leave queries out, and counts those."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from skipfill.compat.gate.admission.left_out import LeftOut
from skipfill.compat.gate.admission.registry import OF_COUNTS, OF_ITEMS, OF_LOOKUP
from skipfill.compat.gate.admission.ruling import Mask, Ruling
from skipfill.compat.gate.context import CheckContext
from skipfill.compat.gate.query_lookup import QueryLookup
from skipfill.store.parquet.items import Items


@dataclass
class Admission:
    """The admission of one check's queries, step by step.

    Attributes:
        trained_on: number of queries left out that do not count against the policy.
        left_out: number of queries left out that count against the policy's share.
        reasons: why those in `left_out` were.
    """

    context: CheckContext
    given: int
    trained_on: int = 0
    left_out: int = 0
    reasons: list[str] = field(default_factory=list)

    def of_items(self, items: Items) -> Mask:
        """(N,) bool, the items that may be queries."""
        return self._kept(len(items), [rule(self.context, items) for rule in OF_ITEMS.values()])

    def of_lookup(self, items: Items, lookup: QueryLookup) -> Mask:
        """(N,) bool, those that have something to find."""
        kept = self._kept(len(items), [rule(self.context, items, lookup) for rule in OF_LOOKUP.values()])
        counts = LeftOut(self.left_out, self.given - self.trained_on, self.reasons)
        self.context.record(rule(self.context, counts) for rule in OF_COUNTS.values())
        return kept

    def _kept(self, count: int, rulings: list[Ruling]) -> Mask:
        self.context.record(rulings)
        free, counted = np.zeros(count, bool), np.zeros(count, bool)
        for ruling in rulings:
            if ruling.left_out is not None and ruling.counts:
                counted |= ruling.left_out
                self.reasons += ruling.notes
            elif ruling.left_out is not None:
                free |= ruling.left_out
        self.trained_on += int(free.sum())
        self.left_out += int((counted & ~free).sum())
        return ~(free | counted)
