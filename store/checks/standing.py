"""Decides whether the checks of a model on a state of a gallery allow a swap. Knows index entries only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skipfill.store.checks.index import CheckEntry
from skipfill.store.checks.policy import Difference, Policy


@dataclass(frozen=True)
class Standing:
    """The joint result of the checks of a model on a state.

    Attributes:
        allowing: the newest pass that asked enough; None where nothing allows a swap.
        against: checks that speak against the model, and that no later one cancels.
        lax: the newest pass that asked less than the policy; None where one asked enough.
        differences: in what it asked less.
        old: whether these are checks of an older release, of which the newest decides.
    """

    allowing: CheckEntry | None = None
    against: tuple[CheckEntry, ...] = ()
    lax: CheckEntry | None = None
    differences: tuple[Difference, ...] = ()
    old: bool = False


def differences(policy: Policy, check: CheckEntry) -> list[Difference]:
    """Everything in which a check asks less than the policy."""
    return policy.differences(check.policy, check.truth, check.judged)


def standing(entries: Sequence[CheckEntry], policy: Policy) -> Standing:
    """Decide what the checks of a model on a state allow.

    A swap needs a pass that asked at least what the policy does. A fail speaks against it, whatever was asked, until
    a later pass that asked enough cancels it: on the same queries, on queries that the policy names, or with a reason
    for other ones. A check that was not conclusive does so until one passes on its queries, perhaps with more. A pass
    that asked less, or was measured by another truth, allows nothing and cancels nothing.

    Args:
        entries: in the order in which they were saved.
    """
    passes = [(place, entry) for place, entry in enumerate(entries) if entry.verdict == "pass"]
    enough = [(place, entry) for place, entry in passes if not differences(policy, entry)]
    against = tuple(
        entry
        for place, entry in enumerate(entries)
        if entry.verdict != "pass"
        and not _of_no_truth(entry, policy)
        and not any(_cancels(later, entry, policy) for number, later in enough if number > place)
    )
    if enough:
        return Standing(None if against else enough[-1][1], against)
    lax = passes[-1][1] if passes else None
    return Standing(None, against, lax, tuple(differences(policy, lax)) if lax else ())


def _of_no_truth(entry: CheckEntry, policy: Policy) -> bool:
    """Whether a check that decided nothing was measured by a truth that could have allowed nothing either."""
    by_truth = any(difference.parameter == "truth" for difference in differences(policy, entry))
    return entry.verdict == "inconclusive" and by_truth


def _cancels(later: CheckEntry, earlier: CheckEntry, policy: Policy) -> bool:
    if earlier.check in later.instead_of:
        return True
    if not later.queries.digest:
        return False
    if later.queries.digest in (*policy.queries, earlier.queries.digest):
        return True
    return earlier.verdict == "inconclusive" and later.queries.holds(earlier.queries)


def standing_of_old(reports: Sequence[CheckEntry], policy: Policy | None) -> Standing:
    """The same of the checks of an older release, which have no order but their clocks: the newest one decides.

    Args:
        policy: the gallery's; None where it has none of its own, so that an old pass has nothing to be compared with.
    """
    if not reports:
        return Standing(old=True)
    newest = max(reports, key=lambda entry: entry.created)
    if newest.verdict != "pass":
        return Standing(None, (newest,), old=True)
    lacking = differences(policy, newest) if policy else []
    return Standing(None, (), newest, tuple(lacking), old=True) if lacking else Standing(newest, old=True)
