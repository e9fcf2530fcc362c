"""Decides whether the checks of a model on a gallery's rows allow a swap. Knows index entries only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from skipfill.store.checks.entry import CheckEntry, Terms
from skipfill.store.checks.policy import Difference, Policy
from skipfill.store.checks.queries import QuerySets


@dataclass(frozen=True)
class Standing:
    """The joint result of the checks of a model on a gallery's rows, for one state with these rows.

    Attributes:
        allowing: the newest pass on the state that asked enough; None where nothing allows a swap.
        against: checks that speak against the model, on whatever state, and that no later one cancels.
        lax: the newest pass on the state that asked less than the policy; None where one asked enough.
        differences: points in which it asked less.
        old: whether these are checks of an older release, of which the newest decides.
    """

    allowing: CheckEntry | None = None
    against: tuple[CheckEntry, ...] = ()
    lax: CheckEntry | None = None
    differences: tuple[Difference, ...] = ()
    old: bool = False

    @property
    def worst_first(self) -> tuple[CheckEntry, ...]:
        """The checks against the model: those that failed, then the others, each kind with its newest first."""
        newest = self.against[::-1]
        return tuple(sorted(newest, key=lambda check: check.verdict != "fail"))


def differences(policy: Policy, terms: Terms) -> list[Difference]:
    """Every point in which a check under these terms asks less than the policy."""
    return policy.differences(terms.policy, terms.truth, terms.judged)


def standing(entries: Sequence[CheckEntry], policy: Policy, state: str) -> Standing:
    """Decide what the checks of a model on a gallery's rows allow on a state with these rows.

    A swap needs a pass on this very state, by a check that asked at least what the policy asks. A fail speaks
    against the model, whatever was asked, until a later pass that asked enough cancels it: on the same queries, on
    queries that the policy names, or on others with a reason. An inconclusive check also speaks against the model,
    until a check passes on its queries and perhaps more. It does not matter which model was released when these
    checks, and the passes that cancel them, were measured. A pass that asked less, or has another truth, allows
    nothing and cancels nothing.

    Args:
        entries: in the order in which they were saved.
    """
    # Thousands of checks have only a few different terms.
    lacking = {terms: differences(policy, terms) for terms in {entry.terms for entry in entries}}
    passes = [entry for entry in entries if entry.verdict == "pass"]
    enough = [entry for entry in passes if not lacking[entry.terms]]
    answers, later = _Answers(enough, policy), len(enough)
    against: list[CheckEntry] = []
    for entry in reversed(entries):
        if entry.verdict != "pass":
            by_no_truth = any(difference.parameter == "truth" for difference in lacking[entry.terms])
            # An inconclusive check with a truth that the policy does not accept is not evidence.
            if not (entry.verdict == "inconclusive" and by_no_truth) and not answers.cancel(entry, later):
                against.append(entry)
        elif not lacking[entry.terms]:
            later -= 1
    against.reverse()
    on_state = [entry for entry in passes if entry.state == state]
    allowing = next((entry for entry in reversed(on_state) if not lacking[entry.terms]), None)
    if allowing is not None:
        return Standing(None if against else allowing, tuple(against))
    lax = on_state[-1] if on_state else None
    return Standing(None, tuple(against), lax, tuple(lacking[lax.terms]) if lax else ())


def lax_answer(entries: Sequence[CheckEntry], against: CheckEntry, policy: Policy) -> CheckEntry | None:
    """The newest later pass that would cancel a check against the model, had it asked enough; None if there is none.

    Args:
        entries: in the order in which they were saved.
    """
    for entry in reversed(entries[entries.index(against) + 1 :]):
        if entry.verdict == "pass" and _Answers([entry], policy).cancel(against, 0):
            return entry
    return None


class _Answers:
    """The passes that asked enough, numbered in their order, by what they cancel."""

    def __init__(self, enough: Sequence[CheckEntry], policy: Policy) -> None:
        digests = [entry.queries.digest for entry in enough]
        self._last_of_digest = {digest: number for number, digest in enumerate(digests) if digest}
        self._last_of_replaced = {check: number for number, entry in enumerate(enough) for check in entry.instead_of}
        self._last_named = max((self._last_of_digest.get(digest, -1) for digest in policy.queries), default=-1)
        self._enough = enough

    @cached_property
    def _sets(self) -> QuerySets:
        """Their queries: needed only where a check decided nothing."""
        return QuerySets([entry.queries for entry in self._enough])

    def cancel(self, entry: CheckEntry, first: int) -> bool:
        """Whether one of the passes from number `first` on cancels a check that did not pass."""
        last_of_digest = self._last_of_digest.get(entry.queries.digest, -1)
        last_of_replaced = self._last_of_replaced.get(entry.check, -1)
        if max(self._last_named, last_of_digest, last_of_replaced) >= first:
            return True
        return entry.verdict == "inconclusive" and self._sets.holds(entry.queries, first)


def standing_of_old(reports: Sequence[CheckEntry], policy: Policy | None) -> Standing:
    """Decide what the checks of an older release allow. Only their clocks order them: the newest one decides.

    Of several at one moment, one that did not pass decides.

    Args:
        policy: the gallery's; None where it has none of its own, so that an old pass has nothing to be compared with.
    """
    if not reports:
        return Standing(old=True)
    newest = max(reports, key=lambda entry: (entry.created, entry.verdict != "pass"))
    if newest.verdict != "pass":
        return Standing(None, (newest,), old=True)
    lacking = differences(policy, newest.terms) if policy else []
    return Standing(None, (), newest, tuple(lacking), old=True) if lacking else Standing(newest, old=True)
