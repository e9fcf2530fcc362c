"""Requirements of a policy on one slice of a check, as claims with their evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["pass", "fail", "inconclusive"]
Kind = Literal["better", "not-worse", "flip-budget", "admission"]


def is_binary(metric: str) -> bool:
    """Whether a query is right or wrong in a metric: its value is 1 or 0."""
    return metric.startswith("CMC@")


@dataclass(frozen=True)
class Claim:
    """Something that a policy requires to be true of new/old, in parts; as text, a sentence.

    Attributes:
        kind: better than `base`; not worse than it by a margin; or fewer queries that flip for the worse.
        base: pair that new/old is compared with; empty for a budget of flips.
        metric: in which the two are compared; for a flip budget, the one whose value falls.
        bar: what the difference must be above: 0 for better, minus the margin, or minus the budget.
    """

    kind: Kind
    base: str
    metric: str
    bar: float

    def __str__(self) -> str:
        if self.kind == "flip-budget":
            share = f"fewer than {-self.bar:.2%} of queries"
            if not is_binary(self.metric):
                return f"{share} with a lower {self.metric} than before"
            return f"{share} right before and wrong after" + (f" in {self.metric}" if self.metric != "CMC@1" else "")
        if self.kind == "better":
            return f"better than {self.base} in {self.metric}"
        return f"not worse than {self.base} by {-self.bar:g} in {self.metric}"


@dataclass(frozen=True)
class Requirement:
    """One thing that the policy asks of one slice, and what the evidence says about it.

    Attributes:
        slice: its name.
        kind, base, metric, bar: what must be true, in parts: see `Claim`. Of an `admission` rule `base` is its name,
            `found` counts its findings, and the other numbers mean nothing.
        claim: the same as a sentence.
        found: the difference measured, new - old; for a budget of flips, minus their share.
        low, high: it is above `low` and below `high`, each with the policy's confidence.
        error_of_pass: probability of such evidence if the claim were just false; at most 1 - confidence to pass.
        error_of_fail: probability of such evidence if the claim were just true, Holm-adjusted for all that is required;
            at most 1 - confidence to fail.
        verdict: of this alone.
        more_queries: about how many more would decide it, if the measured difference is the true one; None when it is
            decided, or when that would take too many.
        said: sentence on what an admission rule found; empty for others.
    """

    slice: str
    kind: Kind
    base: str
    metric: str
    claim: str
    bar: float
    found: float
    low: float
    high: float
    error_of_pass: float
    error_of_fail: float
    verdict: Verdict
    more_queries: int | None
    said: str = ""
