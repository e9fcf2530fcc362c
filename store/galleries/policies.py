"""Changes the policy of a gallery: one entry of its log."""

from __future__ import annotations

from dataclasses import replace

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
    numbers = range(now.number, 0, -1)
    versions = (now if number == now.number else read_version(objects, gallery, number) for number in numbers)
    return next((version for version in versions if version.action == "policy changed"), None)


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
