"""Ruling of an admission rule: the queries that it leaves out, and the findings that stand in the way of a pass."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from skipfill.store.checks.names import ALL
from skipfill.store.checks.requirement import Requirement

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Finding:
    """A reason why the check is at best inconclusive.

    Attributes:
        rule: that found it.
        count: of the queries, rows or options that it is about.
        claim: a sentence that must be true of evidence.
        found: what is true instead.
        slice: name of the one that it is about.
    """

    rule: str
    count: int
    claim: str
    found: str
    slice: str = ALL

    @property
    def requirement(self) -> Requirement:
        """The finding as a requirement, undecided whatever is measured."""
        return Requirement(
            slice=self.slice,
            kind="admission",
            base=self.rule,
            metric="",
            claim=self.claim,
            bar=0.0,
            found=float(self.count),
            low=0.0,
            high=0.0,
            error_of_pass=1.0,
            error_of_fail=1.0,
            verdict="inconclusive",
            more_queries=None,
            said=self.found,
        )


@dataclass(frozen=True)
class Ruling:
    """The outcome of one rule for Q queries.

    Attributes:
        left_out: (Q,) bool, those that may not be queries; None for none.
        counts: whether those count against the share that may be left out.
        notes: sentences for the report's notes.
        findings: reasons why the check is at best inconclusive.
    """

    left_out: Mask | None = None
    counts: bool = False
    notes: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
