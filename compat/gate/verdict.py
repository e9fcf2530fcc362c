"""Verdict of each slice: what the policy requires of it, tested on the evidence: pass, fail or inconclusive.

A claim passes when the test rejects "it is just false" at the policy's error. It fails when the test rejects "it is
just true". A check passes only if all claims pass, so each is tested at the full error rate (an intersection-union
test, Berger 1982). It fails if any claim fails, so the errors of failing are adjusted together (Holm 1979).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from skipfill.compat.evaluation.statistics.tilted_bootstrap import Clusters, lower_bound, p_above, p_below, upper_bound
from skipfill.compat.gate.admission.ruling import Finding
from skipfill.compat.gate.evidence import Evidence
from skipfill.store.checks.names import ALL, NEW_OLD, before_swap
from skipfill.store.checks.policy import Policy
from skipfill.store.checks.report import Slice
from skipfill.store.checks.requirement import Claim, Requirement, Verdict

MOST_QUERIES = 100_000
"""Queries of a slice, those that are there included: if more are needed, no number is named."""


def requirements_of(name: str, evidence: Evidence, chosen: NDArray[np.bool_], policy: Policy) -> list[Requirement]:
    """All requirements of the policy for a slice, each tested by itself; none for a slice that the policy excuses.

    Over all queries new/old must be better than every other pair, where the policy says so; in every other slice it
    must not be worse by the margin. Without queries nothing can be tested.

    Args:
        chosen: (Q,) bool, the queries of the slice.
    """
    if name in policy.accept_worse or not chosen.any():
        return []
    clusters = evidence.clusters[chosen]
    new, tests = evidence.stored[NEW_OLD], []
    for base, old in evidence.stored.items():
        if base != NEW_OLD:
            better = name == ALL and policy.better
            claim = Claim("better" if better else "not-worse", base, policy.metric, 0.0 if better else -policy.margin)
            tests.append((claim, Clusters.of((new[policy.metric] - old[policy.metric])[chosen], clusters)))
    if policy.flip_budget is not None:
        lost = new[policy.metric] < evidence.stored[before_swap(evidence.stored)][policy.metric]
        claim = Claim("flip-budget", "", policy.metric, -policy.flip_budget)
        tests.append((claim, Clusters.of(lost[chosen].astype(float), clusters).mirrored()))
    return [_tested(name, claim, difference, policy) for claim, difference in tests]


def judged(slices: list[Slice], policy: Policy) -> list[Slice]:
    """The slices with the verdict of each requirement, and their own: the worst of these.

    Errors of fails are adjusted for the requirements of all slices together (Holm 1979). A slice of which nothing is
    required passes if the policy excuses it, and is inconclusive otherwise.
    """
    every = [requirement.error_of_fail for one in slices for requirement in one.requirements]
    order = sorted(range(len(every)), key=every.__getitem__)
    holm: dict[int, float] = {}
    largest = 0.0
    for rank, at in enumerate(order):
        largest = max(largest, min(1.0, (len(every) - rank) * every[at]))
        holm[at] = largest
    place = iter(range(len(every)))
    verdicts = []
    for one in slices:
        requirements = [_judged(each, holm[next(place)], one.queries, policy) for each in one.requirements]
        accepted: Verdict = "pass" if one.name in policy.accept_worse else "inconclusive"
        verdict = worst([each.verdict for each in requirements]) if requirements else accepted
        verdicts.append(replace(one, requirements=requirements, verdict=verdict))
    return verdicts


def with_findings(slices: list[Slice], findings: list[Finding]) -> list[Slice]:
    """The judged slices, each with the findings of admission about it. A slice with a finding never passes."""
    judged_slices = []
    for one in slices:
        if about := [finding.requirement for finding in findings if finding.slice == one.name]:
            verdict = worst([one.verdict, "inconclusive"])
            one = replace(one, requirements=[*one.requirements, *about], verdict=verdict)
        judged_slices.append(one)
    return judged_slices


def worst(verdicts: list[Verdict]) -> Verdict:
    """`fail` before `inconclusive` before `pass`; nothing measured is inconclusive."""
    order: list[Verdict] = ["pass", "inconclusive", "fail"]
    return max(verdicts, key=order.index, default="inconclusive")


def _tested(name: str, claim: Claim, difference: Clusters, policy: Policy) -> Requirement:
    """A claim about slice `name` with its test, by itself; its verdict is made in `judged`."""
    enough = len(difference.sums) >= policy.least_queries
    above, below = p_above(difference, claim.bar) if enough else 1.0, p_below(difference, claim.bar)
    decided = min(above, below) <= policy.error
    return Requirement(
        slice=name,
        kind=claim.kind,
        base=claim.base,
        metric=claim.metric,
        claim=str(claim),
        bar=claim.bar,
        found=difference.mean,
        low=lower_bound(difference, policy.error),
        high=upper_bound(difference, policy.error),
        error_of_pass=above,
        error_of_fail=below,
        verdict="inconclusive",
        more_queries=None if decided else _more(difference, claim.bar, policy),
    )


def _judged(alone: Requirement, error_of_fail: float, queries: int, policy: Policy) -> Requirement:
    """The verdict of a requirement.

    Args:
        alone: the requirement, with the error of a fail before the adjustment.
        error_of_fail: adjusted for all requirements.
        queries: number of queries in its slice.
    """
    requirement = replace(alone, error_of_fail=error_of_fail)
    if requirement.error_of_pass <= policy.error:
        return replace(requirement, verdict="pass", more_queries=None)
    if requirement.error_of_fail <= policy.error:
        return replace(requirement, verdict="fail", more_queries=None)
    more = alone.more_queries
    if alone.error_of_fail <= policy.error:  # it would fail if it were the only requirement
        more = _more_to_fail(alone.error_of_fail, policy.error * alone.error_of_fail / error_of_fail, queries)
    return replace(requirement, verdict="inconclusive", more_queries=more)


def _more_to_fail(error: float, wanted: float, queries: int) -> int:
    """About how many more queries like these bring the error down to `wanted`, if the difference is normal.

    The quantile of the error then grows with the square root of the number of queries.

    Args:
        error, wanted: probabilities of a wrong fail; `wanted` is the smaller one.
        queries: number of those measured.
    """
    deviations = ndtri(min(error, 0.49)), ndtri(wanted)
    return _two_digits(((deviations[1] / deviations[0]) ** 2 - 1) * queries)


def _more(difference: Clusters, threshold: float, policy: Policy) -> int | None:
    """About how many more queries like these would make the evidence just enough, to two digits; None for too many.

    Args:
        threshold: in (-1, 1), what the mean difference is compared with.
    """
    test = p_above if difference.mean > threshold else p_below
    clusters = len(difference.sums)
    size = difference.sizes.mean()
    least = max(1.0, policy.least_queries / clusters)
    times = least
    while test(difference, threshold, times) > policy.error:
        times *= 1.25
        if times * clusters * size > MOST_QUERIES:
            return None
    return _two_digits((times - 1) * clusters * size)


def _two_digits(number: float) -> int:
    """The number, rounded up to two digits."""
    scale = 10 ** max(0, len(str(int(number))) - 2)
    return int(-(-number // scale) * scale)
