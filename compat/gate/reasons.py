"""Reasons of a verdict: a sentence for everything that was required, or what of it does not hold for sure."""

from __future__ import annotations

from skipfill.store.checks.policy import Policy
from skipfill.store.checks.report import Slice, judged_names
from skipfill.store.checks.requirement import Requirement

WORDS = {"pass": "holds", "fail": "does not hold", "inconclusive": "undecided"}


def reasons(slices: list[Slice], policy: Policy) -> list[str]:
    """A sentence for each slice of which nothing is required, and for each requirement.

    Where some requirements do not hold, those that do are left out.
    """
    requirements = [each for one in slices for each in one.requirements if each.kind != "admission"]
    everything = all(each.verdict == "pass" for each in requirements)
    return [line for one in slices for line in _of_slice(one, policy, everything=everything)]


def asked_less(of_gallery: Policy, policy: Policy, truth: str, slices: list[Slice]) -> list[str]:
    """Everything in which a check asks less than the gallery's policy does."""
    return [str(difference) for difference in of_gallery.differences(policy, truth, judged_names(slices))]


def _of_slice(one: Slice, policy: Policy, *, everything: bool) -> list[str]:
    if reason := one.nothing_required(accepted=one.name in policy.accept_worse):
        return [f"{one.name}: {reason}"]
    lines = []
    for each in one.requirements:
        if each.verdict == "pass" and not everything:
            continue
        if each.kind == "admission":
            lines.append(f"{one.name}: no evidence: {each.claim}: {each.said}")
            continue
        word = WORDS[each.verdict]
        line = f"{one.name}: {word}: {each.claim} ({_measured(each)})"
        if each.verdict == "inconclusive" and one.units < policy.least_queries:
            line += f"; {one.units} queries are fewer than {policy.least_queries}"
        if each.more_queries is not None:
            line += f"; about {each.more_queries:,} more queries would decide it"
        lines.append(line)
    return lines


def _measured(requirement: Requirement) -> str:
    if requirement.kind == "flip-budget":
        return f"{-requirement.found:.2%}, {-requirement.high:.2%} to {-requirement.low:.2%}"
    return f"{requirement.found:+.3f}, {requirement.low:+.3f} to {requirement.high:+.3f}"
