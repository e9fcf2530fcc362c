"""The policy of a gallery: the requirements that a model must meet before its queries may use it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from skipfill.store.checks.names import SEEN, UNSEEN
from skipfill.store.errors import BadInput, Parameter, unknown_name
from skipfill.store.strict_json import fitted

TRUTHS = ("labels", "judgements", "reindex")
"""Kinds of truth: sources of what is relevant to a query."""
NEIGHBOURS = "neighbours"
"""Agreement, which a check may measure instead of a truth: with the rows that a query's stored vector finds first. It
shows what changes, not what improves: no policy names it, and no check with it passes."""
TRUSTED = ("labels", "judgements")
"""The kinds that a policy allows where it names none. Not a reindex, because there a model says what is relevant."""


@dataclass(frozen=True)
class Policy:
    """The requirements that a model must meet to pass.

    Attributes:
        metric: the one that decides.
        confidence: in [0.5, 0.999]: a wrong pass, or a wrong fail, has at most the probability 1 - confidence.
        margin: how much worse a slice may be, in [0, 0.99] (0.02 = two points).
        better: whether all queries together must be better than now, or only not worse by the margin.
        flip_budget: fewer than this share of the queries may flip for the worse, in [0.0001, 0.99]; None: any.
        accept_worse: slices of which nothing is required, by name.
        least_queries: a slice with fewer clusters of queries never passes; at least 2.
        resamples, seed: of the bootstrap behind the intervals of means.
        truth: the one of TRUTHS that a check must have; empty: one of TRUSTED.
        slices: SQL predicates, each a slice that must be judged.
        most_left_out: largest share of queries without anything to find, in [0, 1]; above it nothing passes.
        queries: digests of the query sets that it names: a pass on one of them cancels earlier fails on any queries.

    Raises:
        BadInput: a value out of its range.
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
    truth: str = ""
    slices: tuple[str, ...] = ()
    most_left_out: float = 0.05
    queries: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        refuse_outside("confidence", self.confidence, 0.5, 0.999)
        refuse_outside("margin", self.margin, 0, 0.99)
        if self.flip_budget is not None:
            refuse_outside("flip_budget", self.flip_budget, 0.0001, 0.99)
        refuse_outside("least_queries", self.least_queries, 2)
        refuse_outside("most_left_out", self.most_left_out, 0, 1)
        if self.truth and self.truth not in TRUTHS:
            raise unknown_name("truth", self.truth, TRUTHS, where=Parameter("truth"))

    @property
    def error(self) -> float:
        """The largest probability of a wrong pass, and of a wrong fail."""
        return 1 - self.confidence

    def described(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    def in_words(self) -> list[tuple[str, str]]:
        """Each requirement as a name and a value."""
        words = [
            ("metric", self.metric),
            ("all queries", "better" if self.better else f"not worse by {self.margin:g}"),
            ("every slice", f"not worse by {self.margin:g}"),
            ("confidence", f"{self.confidence:g}"),
            ("flips for the worse", "any" if self.flip_budget is None else f"fewer than {self.flip_budget:.2%}"),
            ("slices that may get worse", ", ".join(self.accept_worse) or "-"),
            ("least queries in a slice", str(self.least_queries)),
            ("truth", self.truth or " or ".join(TRUSTED)),
            ("slices", ", ".join(self.slices) or "-"),
            ("largest share left out", f"{self.most_left_out:g}"),
        ]
        return words + ([("queries", ", ".join(self.queries))] if self.queries else [])

    @property
    def short(self) -> str:
        """The policy on one line: its main requirements, and whatever differs from the defaults."""
        usual = dict(Policy().in_words())
        others = [f"{name}: {value}" for name, value in self.in_words()[3:] if value != usual.get(name)]
        all_queries = "better" if self.better else "not worse"
        return "; ".join([f"{self.metric}, {all_queries}, margin {self.margin:g}", *others])

    def differences(self, other: Policy, truth: str, judged: tuple[str, ...] = ()) -> list[Difference]:
        """Every point in which a check under policy `other` asks less than this policy, or something else.

        Args:
            truth: what made rows relevant in that check.
            judged: names of the slices of which it required something: see `report.judged_names`.
        """
        lacking: list[Difference] = []

        def require(holds: bool, parameter: str, value: object, allowed: str, fitting: object) -> None:
            if not holds:
                lacking.append(Difference(parameter, str(value), allowed, fitting))

        def at_most(parameter: str, value: float | None, limit: float) -> None:
            shown = "none" if value is None else f"{value:g}"
            require(value is not None and value <= limit, parameter, shown, f"at most {limit:g}", value)

        def at_least(parameter: str, value: float, limit: float) -> None:
            require(value >= limit, parameter, f"{value:g}", f"at least {limit:g}", value)

        require(other.metric == self.metric, "metric", other.metric, self.metric, other.metric)
        at_most("margin", other.margin, self.margin)
        at_least("confidence", other.confidence, self.confidence)
        require(other.better or not self.better, "better", "not worse", "better", other.better)
        if self.flip_budget is not None:
            less = other.flip_budget is not None and other.flip_budget <= self.flip_budget
            shown = "any" if other.flip_budget is None else f"fewer than {other.flip_budget:.2%}"
            require(less, "flip_budget", shown, f"fewer than {self.flip_budget:.2%}", other.flip_budget)
        excused = [name for name in other.accept_worse if name not in self.accept_worse]
        require(not excused, "accept_worse", ", ".join(excused), "none of these", (*self.accept_worse, *excused))
        at_least("least_queries", other.least_queries, self.least_queries)
        at_most("most_left_out", other.most_left_out, self.most_left_out)
        truths = (self.truth,) if self.truth else TRUSTED
        require(truth in truths, "truth", truth, " or ".join(truths), truth)
        missing = [name for name in self.slices if name not in judged and name not in self.accept_worse]
        require(not missing, "slices", f"without {', '.join(missing)}", "each of these judged", tuple(missing))
        return lacking


@dataclass(frozen=True)
class Difference:
    """One thing in which a check asks less than a policy.

    Attributes:
        parameter: of the policy.
        found, allowed: the check's value, and those that would do, in words.
        fitting: a value in the policy that the check would meet; for slices, those to remove from it.
    """

    parameter: str
    found: str
    allowed: str
    fitting: Any

    def __str__(self) -> str:
        return f"{self.parameter.replace('_', ' ')} {self.found} (the policy: {self.allowed})"


def policy_of(raw: dict[str, Any], where: object, *, limited: bool = True) -> Policy:
    """The policy of a report of any format, from JSON values.

    Args:
        limited: whether the report is of format 5 or later. In earlier ones any share of the queries could be left
            out, and flips were those of CMC@1: a policy in another metric had no flip budget in that metric.

    Raises:
        BadInput: not a policy that this release knows; the error names `where`.
    """
    plain = json.loads(json.dumps(raw))
    if not limited:
        plain["most_left_out"] = 1.0
        if plain.get("metric") != "CMC@1":
            plain["flip_budget"] = None
    return fitted(Policy, plain, where, {})


def refuse_unjudged_exceptions(policy: Policy) -> None:
    """Raise `BadInput` where the policy excuses all queries, or a slice that a check may lack."""
    names = (SEEN, UNSEEN, *policy.slices)
    for name in policy.accept_worse:
        if name not in names:
            raise unknown_name("slice", name, names, where=Parameter("accept_worse"))


def refuse_outside(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Raise `BadInput` for a parameter that is out of its range."""
    if not low <= value <= high:  # NaN is in no range
        expected = f"a number from {low:g} to {high:g}" if high < math.inf else f"a number of at least {low:g}"
        raise BadInput(Parameter(name), expected=expected, found=f"{value:g}")
