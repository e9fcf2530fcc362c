"""The grounds of the release in force: checks and rollbacks before it, and the reason given for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from skipfill.store.checks.index import CheckIndex
from skipfill.store.checks.standing import standing
from skipfill.store.errors import SkipfillError
from skipfill.store.galleries.log import Version, read_version
from skipfill.store.releases.release_log import brought_by, origin_of
from skipfill.store.releases.withdrawn import Withdrawal, came_back_after, withdrawn_since_swap
from skipfill.store.storage.object_store import ObjectStore


@dataclass(frozen=True)
class Grounds:
    """The grounds of a release.

    Attributes:
        forced: whether no check was asked for.
        allowed_by: id of the check that allowed it, or, if it was forced, that would have; empty for none.
        against: the checks that spoke against it when it was forced, oldest first: `1a2b fail`. None where they cannot
            be read.
        reason: reason given for it, by the swap or the rollback that brought it.
        since: number of the version whose check allowed it; for a forced release, of the one that brought it. What
            fails from then on speaks against it.
        rolled_back: the models that the rollbacks since the last swap left, the last one first.
        came_back: the rollbacks that had left this model before queries used it again; None for none.
    """

    forced: bool = False
    allowed_by: str = ""
    against: Sequence[str] | None = ()
    reason: str = ""
    since: int = 0
    rolled_back: Sequence[Withdrawal] = ()
    came_back: Withdrawal | None = None

    def as_document(self) -> dict[str, Any]:
        """The grounds as JSON values."""
        return {
            "reason": self.reason,
            "forced_against": self.against,
            "rolled_back": [{"model": one.model, "rollbacks": one.as_document()} for one in self.rolled_back],
            "came_back_after": self.came_back.as_document() if self.came_back else [],
        }


def grounds_of(objects: ObjectStore, gallery: str, now: Version, index: CheckIndex | None = None) -> Grounds:
    """The grounds of the release that queries use in a version.

    What cannot be read is left out: this is to be shown, even if something is damaged.

    Args:
        now: the version. One that is planned, or was just committed, has brought its release itself.
    """
    by_checks = grounds_by_checks(objects, gallery, now, index)
    try:
        left = withdrawn_since_swap(objects, gallery, now)
        return replace(by_checks, rolled_back=left, came_back=came_back_after(objects, gallery, now))
    except (SkipfillError, OSError):
        return by_checks


def grounds_by_checks(objects: ObjectStore, gallery: str, now: Version, index: CheckIndex | None = None) -> Grounds:
    """The same without the rollbacks, for which the log must be read."""
    release, since = now.release, now.released_at
    forced = release is not None and bool(release.without_check)
    try:
        brought = brought_by(objects, gallery, now)
        if not forced:
            since = origin_of(objects, gallery, now, now)
    except (SkipfillError, OSError):
        return Grounds(forced, release.check if release else "", None if forced else (), "", since)
    if release is None or not forced:
        return Grounds(allowed_by=release.check if release else "", reason=brought.reason, since=since)
    reason = brought.reason or release.without_check
    try:
        before = read_version(objects, gallery, brought.number - 1)
        of_model = (index or CheckIndex(objects, gallery)).of(before.rows_state, release.way)
    except (SkipfillError, OSError):
        return Grounds(forced, "", None, reason, since)
    until_then = [check for check in of_model if check.version <= before.number]
    found = standing(until_then, before.policy_in_force, before.state)
    against = [f"{check.check} {check.verdict}" for check in found.against]
    return Grounds(forced, found.allowing.check if found.allowing else "", against, reason, since)
