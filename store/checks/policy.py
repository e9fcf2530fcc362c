"""The policy of a gallery: the requirements that a model must meet before its queries may use it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from skipfill.store.checks.names import EVERY_CHECK
from skipfill.store.errors import BadInput, Parameter, unknown_name
from skipfill.store.strict_json import fitted

TRUTHS = ("labels", "judgements", "reindex")
"""Kinds of truth: sources of what is relevant to a query."""
TRUSTED = ("labels", "judgements")
"""Those that a policy allows without naming one: a reindex asks the model itself."""


@dataclass(frozen=True)
class Policy:
    """The requirements that a model must meet to pass.

    Attributes:
        metric: the one that decides.
        confidence: in [0.5, 0.999]: a wrong pass, and a wrong fail, have at most the probability 1 - confidence.
        margin: how much worse a slice may be, in [0, 0.99] (0.02 = two points).
        better: whether all queries together must be better than now, or not worse by the margin either.
        flip_budget: largest share of queries that may flip for the worse, in [0.0001, 0.99]; None: any.
        accept_worse: slices of which nothing is required, by name.
        least_queries: fewer clusters of queries in a slice never pass; at least 2.
        resamples, seed: of the bootstrap behind the intervals of means.
        truth: the one of TRUTHS that a check must have; empty: one of TRUSTED.
        slices: SQL predicates, each a slice that must be judged.
        most_left_out: largest share of queries without anything to find, in [0, 1]; beyond it nothing passes.
        queries: digests of query sets that are named: a pass on one of them cancels a fail on any other.

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
            ("flips for the worse", "any" if self.flip_budget is None else f"fewer than {self.flip_budget:g}"),
            ("accepted as they are", ", ".join(self.accept_worse) or "-"),
            ("least queries", str(self.least_queries)),
            ("truth", self.truth or " or ".join(TRUSTED)),
            ("slices", ", ".join(self.slices) or "-"),
            ("most left out", f"{self.most_left_out:g}"),
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
        """Everything in which a check under policy `other` asks less than this policy.

        Args:
            truth: what made rows relevant in that check.
            judged: names of the slices of which it required something.
        """
        found: list[Difference] = []

        def must(holds: bool, name: str, theirs: object, ours: str, fitting: object) -> None:
            if not holds:
                found.append(Difference(name, str(theirs), ours, fitting))

        must(other.metric == self.metric, "metric", other.metric, self.metric, other.metric)
        must(other.margin <= self.margin, "margin", f"{other.margin:g}", f"at most {self.margin:g}", other.margin)
        enough = other.confidence >= self.confidence
        must(enough, "confidence", f"{other.confidence:g}", f"at least {self.confidence:g}", other.confidence)
        must(other.better or not self.better, "better", "not worse", "better", other.better)
        if self.flip_budget is not None:
            budget = other.flip_budget
            fits = budget is not None and budget <= self.flip_budget
            told = "none" if budget is None else f"{budget:g}"
            must(fits, "flip_budget", told, f"at most {self.flip_budget:g}", budget)
        accepted = [name for name in other.accept_worse if name not in self.accept_worse]
        everything = (*self.accept_worse, *accepted)
        must(not accepted, "accept_worse", ", ".join(accepted), "none of these", everything)
        least = f"at least {self.least_queries}"
        must(
            other.least_queries >= self.least_queries, "least_queries", other.least_queries, least, other.least_queries
        )
        most = f"at most {self.most_left_out:g}"
        fits = other.most_left_out <= self.most_left_out
        must(fits, "most_left_out", f"{other.most_left_out:g}", most, other.most_left_out)
        allowed = (self.truth,) if self.truth else TRUSTED
        must(truth in allowed, "truth", truth, " or ".join(allowed), truth)
        missing = [one for one in self.slices if one not in judged and one not in self.accept_worse]
        rest = tuple(one for one in self.slices if one not in missing)
        must(not missing, "slices", f"without {', '.join(missing)}", "each of these judged", rest)
        return found


@dataclass(frozen=True)
class Difference:
    """One thing in which a check asks less than a policy.

    Attributes:
        parameter: of the policy.
        found, allowed: the check's value, and those that would do, in words.
        fitting: value of the parameter with which the check would do.
    """

    parameter: str
    found: str
    allowed: str
    fitting: Any

    def __str__(self) -> str:
        return f"{self.parameter.replace('_', ' ')} {self.found} (the policy: {self.allowed})"


def policy_of(raw: dict[str, Any], where: object, *, limited: bool = True) -> Policy:
    """The policy that a report of any format has as JSON values.

    Args:
        limited: whether what it does not say is what a policy says today. In reports before format 5 it is not: any
            share of queries could be left out, and flips were those of CMC@1.

    Raises:
        BadInput: none that this release knows; the error names `where`.
    """
    plain = json.loads(json.dumps(raw))
    if not limited:
        plain["most_left_out"] = 1.0
        if plain.get("metric") != "CMC@1":
            plain["flip_budget"] = None
    return fitted(Policy, plain, where, {})


def refuse_unjudged_exceptions(policy: Policy) -> None:
    """Raise `BadInput` where the policy accepts a slice that not every check under it has."""
    names = (*(name for name in EVERY_CHECK if name != EVERY_CHECK[0]), *policy.slices)
    for name in policy.accept_worse:
        if name not in names:
            raise unknown_name("slice", name, names, where=Parameter("accept_worse"))


def refuse_outside(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Raise `BadInput` for a parameter that is out of its range."""
    if not low <= value <= high:  # NaN is in no range
        expected = f"a number from {low:g} to {high:g}" if high < math.inf else f"a number of at least {low:g}"
        raise BadInput(Parameter(name), expected=expected, found=f"{value:g}")
