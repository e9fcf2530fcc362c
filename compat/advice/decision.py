"""Decides between staying and its alternatives: chooses on one half of the queries, tests on the other. Arrays only.

On the choosing half, alternatives within one standard error of the best one count as equally good. The cheapest of
these is chosen, and staying is the cheapest of all (the rule of Breiman et al. 1984, section 3.4.3). The policy tests
the chosen one on the other half. These queries chose nothing, so the probability of a wrong recommendation is at most
the policy's error.

If no change is recommended, the outcome is to stay, provided that no alternative looks better: each must be within one
standard error of staying on all queries, or gain significantly less than the margin. Otherwise the outcome is
undecided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from skipfill.compat.evaluation.statistics.bootstrap import Values
from skipfill.compat.evaluation.statistics.standard_error import within_one_error
from skipfill.compat.evaluation.statistics.tilted_bootstrap import Clusters, p_below
from skipfill.compat.gate.admission.ruling import Mask
from skipfill.compat.gate.evidence import Evidence
from skipfill.compat.gate.verdict import judged, requirements_of, worst
from skipfill.store.checks.names import ALL, NEW_OLD, OLD_OLD
from skipfill.store.checks.policy import Policy
from skipfill.store.checks.report import Slice
from skipfill.store.checks.requirement import Requirement, Verdict

Outcome = Literal["change", "stay", "undecided"]


@dataclass(frozen=True)
class Alternative:
    """A way to serve queries other than staying, with its results for Q queries in the metric that decides.

    Attributes:
        cost: rank by cost; of alternatives that are equally good, the cheapest is chosen.
        values: (Q,) its results; NaN for a query with nothing to find among the rows that were measured.
        staying: (Q,) results of staying among the same rows; NaN for the same queries.
    """

    cost: int
    values: Values
    staying: Values

    @property
    def answered(self) -> Mask:
        """(Q,) bool, the queries that have something to find among the rows that were measured."""
        found: Mask = np.isfinite(self.values) & np.isfinite(self.staying)
        return found

    @property
    def change(self) -> Values:
        """(Q,) its results minus those of staying."""
        return self.values - self.staying


@dataclass(frozen=True)
class Decision:
    """The outcome of a comparison of alternatives with staying.

    Attributes:
        outcome: `change` to the leading one, `stay`, or `undecided`.
        leading: position of the alternative that the choosing half chooses; if it chooses staying, of the best one.
        chosen: whether the choosing half chooses the leading one, and not staying.
        verdict: the policy's verdict on the leading one, on the reporting half.
    """

    outcome: Outcome
    leading: int
    chosen: bool
    verdict: Verdict


Judge = Callable[[int, Mask], Verdict]
"""Position of an alternative, and (Q,) bool mask of some queries -> the verdict on it for these queries."""


def choosing_half(clusters: NDArray[np.int64], seed: int) -> Mask:
    """(Q,) bool, the queries that choose: a random half of the clusters, each whole.

    Args:
        clusters: (Q,) number of the cluster of each query.
    """
    names, places = np.unique(clusters, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    half: Mask = (order < len(names) // 2)[places]
    return half


def decided(
    alternatives: Sequence[Alternative], clusters: NDArray[np.int64], choosing: Mask, policy: Policy, judge: Judge
) -> Decision:
    """Choose among alternatives on one half of the queries, and test the choice on the other.

    Args:
        alternatives: at least one.
        clusters: (Q,) number of the cluster of each query; a cluster is one piece of evidence.
        choosing: (Q,) bool, the half that chooses. Weights of the alternatives, if any, were chosen on it too.
    """
    leading, chosen = _leading(alternatives, clusters, choosing)
    verdict = judge(leading, ~choosing)
    if chosen and verdict == "pass":
        return Decision("change", leading, chosen, verdict)
    enough = min(len(np.unique(clusters[half])) for half in (choosing, ~choosing)) >= policy.least_queries
    staying = enough and not any(_looks_better(one, clusters, policy) for one in alternatives)
    return Decision("stay" if staying else "undecided", leading, chosen, verdict)


def judged_alone(alternative: Alternative, clusters: NDArray[np.int64], asked: Mask, policy: Policy) -> Verdict:
    """The policy's verdict on some queries together, without slices."""
    chosen = asked & alternative.answered
    slices = judged([slice_of(ALL, alternative, clusters, chosen, policy)], policy)
    return worst([one.verdict for one in slices])


def slice_of(name: str, alternative: Alternative, clusters: NDArray[np.int64], chosen: Mask, policy: Policy) -> Slice:
    """A slice with the policy's requirements for it, not judged yet."""
    stored = {OLD_OLD: {policy.metric: alternative.staying}, NEW_OLD: {policy.metric: alternative.values}}
    requirements = requirements_of(name, Evidence(stored, {}, "", clusters), chosen, policy)
    return bare_slice(name, clusters[chosen], requirements)


def bare_slice(name: str, clusters: NDArray[np.int64], requirements: list[Requirement]) -> Slice:
    """A slice of which only the requirements matter."""
    return Slice(name, len(clusters), len(np.unique(clusters)), [], {}, {}, {}, requirements, "inconclusive")


def _leading(alternatives: Sequence[Alternative], clusters: NDArray[np.int64], choosing: Mask) -> tuple[int, bool]:
    """Position of the leading alternative, and whether it is chosen over staying: see `Decision`."""
    means = [float(one.change[choosing & one.answered].mean()) for one in alternatives]
    best = int(np.argmax(means))
    nothing = Alternative(0, np.zeros(len(clusters)), np.zeros(len(clusters)))
    as_good = [place for place, one in enumerate(alternatives) if _as_good(one, alternatives[best], clusters, choosing)]
    least = min(alternatives[place].cost for place in as_good)
    leading = max((place for place in as_good if alternatives[place].cost == least), key=means.__getitem__)
    if _as_good(nothing, alternatives[best], clusters, choosing):
        return best, False
    return leading, True


def _as_good(one: Alternative, best: Alternative, clusters: NDArray[np.int64], choosing: Mask) -> bool:
    """Whether an alternative is within one standard error of the best one on the queries that both answer."""
    both = choosing & one.answered & best.answered
    if not both.any():
        return False
    return within_one_error(Clusters.of((best.change - one.change)[both], clusters[both]))


def _looks_better(one: Alternative, clusters: NDArray[np.int64], policy: Policy) -> bool:
    """Whether an alternative is better than staying by a standard error, and perhaps by more than the margin."""
    answered = one.answered
    change = Clusters.of(one.change[answered], clusters[answered])
    return not within_one_error(change) and p_below(change, policy.margin) > policy.error
