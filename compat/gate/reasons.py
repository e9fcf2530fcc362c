"""Reasons for a verdict: a sentence for each requirement, or only for those that do not hold or are undecided."""

from __future__ import annotations

from skipfill.store.checks.names import UNSEEN
from skipfill.store.checks.policy import Policy
from skipfill.store.checks.report import Slice, judged_names
from skipfill.store.checks.requirement import Requirement
from skipfill.store.models.cards import Card

WORDS = {"pass": "holds", "fail": "does not hold", "inconclusive": "undecided"}


def reasons(slices: list[Slice], policy: Policy) -> list[str]:
    """A sentence for each slice of which nothing is required, and for each requirement.

    Where some requirements do not hold, those that do are left out.
    """
    requirements = [each for one in slices for each in one.requirements if each.kind != "admission"]
    everything = all(each.verdict == "pass" for each in requirements)
    return [line for one in slices for line in _of_slice(one, policy, everything=everything)]


def remedies(slices: list[Slice], card: Card, old_model: str) -> list[str]:
    """A sentence on how to keep queries of unseen classes from getting worse; none if they are not found to get worse.

    Args:
        slices: judged.
        card: of the model that was checked.
        old_model: name of the model that filled the gallery; empty where it is not in the store.
    """
    if not any(one.name == UNSEEN and one.verdict == "fail" for one in slices):
        return []
    coverage = card.training.get("coverage")
    sampled = coverage.get("sample") if isinstance(coverage, dict) else 0
    sample = "a sample of the gallery's items, labels not needed"
    if sampled:
        sample += f" (larger than the {sampled} of this training)"
    blend = f", or blend {card.name} with {old_model}" if old_model and card.method != "blend" else ""
    return [f"{UNSEEN}: to keep these queries from getting worse, train with {sample}{blend}"]


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
            counted = "queries" if one.units == one.queries else "groups of queries that count as one query each"
            line += f"; {one.units} {counted} are fewer than {policy.least_queries}"
        if each.more_queries is not None:
            line += f"; about {each.more_queries:,} more queries would decide it"
            line += ", probably against it" if each.found < each.bar else ""
        lines.append(line)
    return lines


def _measured(requirement: Requirement) -> str:
    if requirement.kind == "flip-budget":
        share = [max(0.0, -value) for value in (requirement.found, requirement.high, requirement.low)]
        return f"{share[0]:.2%}, {share[1]:.2%} to {share[2]:.2%}"
    return f"{requirement.found:+.3f}, {requirement.low:+.3f} to {requirement.high:+.3f}"
