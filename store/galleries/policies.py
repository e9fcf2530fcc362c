"""Changes the policy of a gallery: one entry of its log."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile

from skipfill.store.checks.policy import Policy, refuse_unjudged_exceptions
from skipfill.store.galleries.commit import commit
from skipfill.store.galleries.log import Version, latest, read_version
from skipfill.store.storage.object_store import ObjectStore


def planned_policy(
    objects: ObjectStore, gallery: str, policy: Policy, reason: str = "", after: Version | None = None
) -> Version:
    """Make the version that puts `policy` in force, or return the one in force if it has this policy. Writes nothing.

    The state of the gallery stays, so its checks still count. Whether they are enough for the policy is decided again.

    Args:
        after: the version that the policy was made from, so that a change meanwhile is not undone; None for the newest.

    Raises:
        BadInput: it accepts a slice that it does not demand.
    """
    refuse_unjudged_exceptions(policy)
    now = after or latest(objects, gallery)
    if policy == now.policy:
        return now
    return replace(now, number=now.number + 1, action="policy changed", reason=reason, plan="", policy=policy)


def set_in(objects: ObjectStore, gallery: str, now: Version) -> Version | None:
    """The version that set the policy in force; None for the defaults."""
    if now.policy is None:
        return None
    versions = _newest_first(objects, gallery, now)
    return next((version for version in versions if version.action == "policy changed"), None)


def slice_brought_in(objects: ObjectStore, gallery: str, now: Version, one: str) -> Version | None:
    """The version since which every policy up to the one in force has had this slice; None if that one has it not."""
    having = takewhile(lambda version: one in version.policy_in_force.slices, _newest_first(objects, gallery, now))
    return next(iter(deque(having, maxlen=1)), None)


def _newest_first(objects: ObjectStore, gallery: str, now: Version) -> Iterator[Version]:
    """Every version up to `now`, each read when it is needed."""
    yield now
    yield from (read_version(objects, gallery, number) for number in range(now.number - 1, 0, -1))


def change_policy(
    objects: ObjectStore, gallery: str, policy: Policy, reason: str = "", after: Version | None = None
) -> Version:
    """Put `policy` in force, unless it is in force already: see `planned_policy`.

    Raises:
        Stale: another change came first.
    """
    now = after or latest(objects, gallery)
    planned = planned_policy(objects, gallery, policy, reason, now)
    return now if planned is now else commit(objects, gallery, planned)
