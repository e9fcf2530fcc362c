"""Why a check ended as it did: a sentence for each thing that was asked and does not hold for sure."""

from __future__ import annotations

from skipfill.compat.gate.slices import OTHERS, TRAINED
from skipfill.compat.gate.verdict import BUDGET, Policy
from skipfill.store.checks.report import Requirement, Slice


def reasons(slices: list[Slice], policy: Policy) -> list[str]:
    """A sentence for each thing that was asked and does not hold for sure, and for what was not asked."""
    lines = [line for one in slices for line in _of_slice(one, policy)]
    held = sum(each.verdict == "pass" for one in slices for each in one.requirements)
    asked = sum(len(one.requirements) for one in slices)
    return [f"{held} of {asked} requirements hold with {policy.confidence:.0%} confidence", *lines]


def _of_slice(one: Slice, policy: Policy) -> list[str]:
    if one.name in policy.accept_worse:
        return [f"{one.name}: accepted as it is, by --accept-worse"]
    if one.queries == 0:
        return [f"{one.name}: no query of this kind" + _though(one.name)]
    lines = []
    for each in one.requirements:
        if each.verdict == "pass":
            continue
        word = "does not hold" if each.verdict == "fail" else "undecided"
        line = f"{one.name}: {word}: {each.claim} ({_found(each)})"
        if each.verdict == "inconclusive" and one.units < policy.least_queries:
            line += f"; {one.units} queries are fewer than {policy.least_queries}"
        if each.more_queries is not None:
            line += f"; about {each.more_queries:,} more queries would decide it"
        lines.append(line)
    return lines


def _found(one: Requirement) -> str:
    if one.claim.startswith(BUDGET):
        return f"{-one.found:.2%}, {-one.high:.2%} to {-one.low:.2%}"
    return f"{one.found:+.3f}, {one.low:+.3f} to {one.high:+.3f}"


def _though(name: str) -> str:
    return ", though the gallery has rows of it" if name in (TRAINED, OTHERS) else ""
