"""The policy's verdict on a row of the table, on some queries, with the slices and the findings of a check."""

from __future__ import annotations

from skipfill.compat.advice.decision import bare_slice
from skipfill.compat.advice.rows.row import Row
from skipfill.compat.gate.admission.registry import OF_VERDICTS
from skipfill.compat.gate.admission.ruling import Mask
from skipfill.compat.gate.evidence import Evidence
from skipfill.compat.gate.verdict import judged, requirements_of, with_findings, worst
from skipfill.store.checks.names import NEW_OLD
from skipfill.store.checks.report import Slice


def judged_slices(row: Row, asked: Mask) -> list[Slice]:
    """The slices of a check on some queries, judged, with the row in place of the new model.

    A slice is left out if the row answers none of its queries. A slice that has none of these queries is undecided, as
    in a check.

    Args:
        asked: (Q,) bool.
    """
    candidate, policy = row.candidate, row.candidate.context.policy
    grouping, answered = candidate.grouping, asked & row.alternative.answered
    by_pair = {**row.baselines, NEW_OLD: row.alternative.values}
    evidence = Evidence({pair: {policy.metric: one} for pair, one in by_pair.items()}, {}, "", grouping.clusters)
    masks = {
        name: chosen & answered
        for name, chosen in grouping.slices.items()
        if (chosen & answered).any() or not (chosen & asked).any()
    }
    bare = [
        bare_slice(name, grouping.clusters[chosen], requirements_of(name, evidence, chosen, policy))
        for name, chosen in masks.items()
    ]
    slices = judged(bare, policy)
    rulings = [rule(candidate.context, candidate.baseline, masks, slices) for rule in OF_VERDICTS.values()]
    findings = [*candidate.context.findings, *(one for ruling in rulings for one in ruling.findings)]
    return with_findings(slices, findings)


def objection(slices: list[Slice]) -> str:
    """A sentence on the first requirement that prevents a pass; empty if none does."""
    verdict = worst([one.verdict for one in slices])
    for one in slices:
        if one.verdict == verdict != "pass" and not one.requirements:
            return f"queries {one.name}: {one.nothing_required(accepted=False)}"
        for each in one.requirements:
            if each.verdict == verdict != "pass":
                said = each.said or f"{each.found:+.3f}, {each.low:+.3f} to {each.high:+.3f}"
                more = f"; about {each.more_queries:,} more queries would tell" if each.more_queries else ""
                about = "" if one.name == "all" else f"queries {one.name}, "
                return f"{about}{each.claim}: {said}{more}"
    return ""
