"""What a policy asks of every slice, and what the evidence says of it: pass, fail or inconclusive. Arrays only.

A claim passes when the test of "it is just false" is refused at the policy's error, and fails when that of "it is just
true" is. A check passes only if all claims do, so that each is tested at the full error (an intersection-union test,
Berger 1982); it fails if any does, so that those errors are adjusted together (Holm 1979).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from skipfill.compat.evaluation.statistics.tilted_bootstrap import Clusters, lower_bound, p_above, p_below, upper_bound
from skipfill.store.checks.report import Requirement, Slice, Verdict

MOST_QUERIES = 100_000
BUDGET = "fewer than"


@dataclass(frozen=True)
class Policy:
    """What a model must show.

    Attributes:
        metric: the one that decides.
        confidence: in (0.5, 1): a wrong pass, and a wrong fail, have at most the probability 1 - confidence.
        margin: how much worse a slice may be (0.02 = two points).
        better: whether all queries together must be better than now, or not worse by the margin either.
        flip_budget: largest share of queries that may be right before and wrong after (CMC@1); None: any.
        accept_worse: slices of which nothing is asked, by name.
        least_queries: fewer units in a slice never pass.
        resamples, seed: of the bootstrap behind the intervals that are shown.
    """

    metric: str = "CMC@1"
    confidence: float = 0.95
    margin: float = 0.02
    better: bool = True
    flip_budget: float | None = None
    accept_worse: tuple[str, ...] = ()
    least_queries: int = 30
    resamples: int = 2000
    seed: int = 0

    @property
    def error(self) -> float:
        return 1 - self.confidence

    def described(self) -> dict[str, Any]:
        return asdict(self)


def compared(name: str, base: str, difference: Clusters, policy: Policy) -> Requirement:
    """That new/old is better than `base`, or not worse by the margin.

    Args:
        difference: new/old - base in the policy's metric.
    """
    if name == "all" and policy.better:
        return _tested(name, f"better than {base} in {policy.metric}", difference, 0.0, policy)
    claim = f"not worse than {base} by {policy.margin:g} in {policy.metric}"
    return _tested(name, claim, difference, -policy.margin, policy)


def within_budget(name: str, negative: Clusters, policy: Policy) -> Requirement:
    """That the share of negative flips is below the budget.

    Args:
        negative: 1 where a query was right before and is wrong after, else 0.
    """
    assert policy.flip_budget is not None
    claim = f"{BUDGET} {policy.flip_budget:.2%} of queries right before and wrong after"
    return _tested(name, claim, negative.mirrored(), -policy.flip_budget, policy)


def adjusted(slices: list[Slice], policy: Policy) -> list[Slice]:
    """The slices with the errors of their fails adjusted for all requirements together (Holm 1979)."""
    every = [asked.error_of_fail for one in slices for asked in one.requirements]
    order = sorted(range(len(every)), key=every.__getitem__)
    holm: dict[int, float] = {}
    largest = 0.0
    for rank, at in enumerate(order):
        largest = max(largest, min(1.0, (len(every) - rank) * every[at]))
        holm[at] = largest
    place = iter(range(len(every)))
    found = []
    for one in slices:
        asked = [_judged(replace(each, error_of_fail=holm[next(place)]), policy) for each in one.requirements]
        verdict = worst([each.verdict for each in asked]) if asked else one.verdict
        found.append(replace(one, requirements=asked, verdict=verdict))
    return found


def worst(verdicts: list[Verdict]) -> Verdict:
    """`fail` before `inconclusive` before `pass`; nothing measured is inconclusive."""
    order: list[Verdict] = ["pass", "inconclusive", "fail"]
    return max(verdicts, key=order.index, default="inconclusive")


def _tested(name: str, claim: str, difference: Clusters, bar: float, policy: Policy) -> Requirement:
    enough = len(difference.sums) >= policy.least_queries
    above, below = p_above(difference, bar) if enough else 1.0, p_below(difference, bar)
    decided = min(above, below) <= policy.error
    return Requirement(
        slice=name,
        claim=claim,
        bar=bar,
        found=difference.mean,
        low=lower_bound(difference, policy.error),
        high=upper_bound(difference, policy.error),
        error_of_pass=above,
        error_of_fail=below,
        verdict="inconclusive",
        more_queries=None if decided else _more(difference, bar, policy),
    )


def _judged(asked: Requirement, policy: Policy) -> Requirement:
    if asked.error_of_pass <= policy.error:
        return replace(asked, verdict="pass", more_queries=None)
    if asked.error_of_fail <= policy.error:
        return replace(asked, verdict="fail", more_queries=None)
    return replace(asked, verdict="inconclusive")


def _more(difference: Clusters, bar: float, policy: Policy) -> int | None:
    """How many more queries like these would make the evidence just enough, to two digits."""
    test = p_above if difference.mean > bar else p_below
    units = len(difference.sums)
    size = difference.sizes.mean()
    least = max(1.0, policy.least_queries / units)
    times = least
    while test(difference, bar, times) > policy.error:
        times *= 1.25
        if times * units * size > MOST_QUERIES:
            return None
    more = (times - 1) * units * size
    scale = 10 ** max(0, len(str(int(more))) - 2)
    return int(-(-more // scale) * scale)
