"""The reason for a recommendation: one sentence with the numbers of the table."""

from __future__ import annotations

from collections.abc import Sequence

from skipfill.compat.advice.decision import Decision
from skipfill.compat.advice.table import Line
from skipfill.store.checks.policy import Policy
from skipfill.store.checks.report import Interval


def reason(lines: Sequence[Line], decision: Decision, policy: Policy, objection: str) -> str:
    """The reason for the recommendation, as a sentence.

    Args:
        lines: staying first, then the alternatives.
        objection: the policy's objection to the leading one; empty if it passes.
    """
    leading, metric = lines[decision.leading + 1], policy.metric
    if decision.outcome == "change":
        return f"{leading.name} is better than staying in {metric}: {_told(leading.change)}{_beside(lines, leading)}"
    if decision.outcome == "stay":
        return (
            f"no alternative looks better in {metric}: each is within one standard error of staying over all queries, "
            f"or gains significantly less than the margin of {policy.margin:g}; the best on the choosing half, "
            f"{leading.name}, changes it by {_told(leading.change)}"
        )
    if not decision.chosen:
        return (
            f"staying is as good as {leading.name} on the choosing half, but over all queries an alternative looks "
            f"better, or there are too few queries ({_told(leading.change)} on the other half)"
        )
    said = objection or f"the two halves of the queries disagree: {_told(leading.change)}"
    return f"the best on the choosing half is {leading.name}, but it does not pass the policy: {said}"


def _beside(lines: Sequence[Line], leading: Line) -> str:
    """The end of the sentence: the best reindex, or if the leading line is one, the best line without a reindex."""
    reindexed = leading.kind == "reindex"
    others = [one for one in lines[1:] if (one.kind == "reindex") != reindexed and one.change is not None]
    if not others:
        return ""
    best = max(others, key=lambda one: one.change.mean if one.change else 0.0)
    how = f"with {best.rows:,} rows encoded" if best.kind == "rerank" else "with no row encoded again"
    how = "with every row encoded again" if best.kind == "reindex" else how
    return f"; {how}, {best.name} changes it by {_told(best.change)}"


def _told(change: Interval | None) -> str:
    assert change is not None
    return f"{change.mean:+.3f} ({change.low:+.3f} to {change.high:+.3f})"
