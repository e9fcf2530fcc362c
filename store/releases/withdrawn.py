"""Withdrawn models: queries used them until a rollback."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from skipfill.store.checks.entry import CheckEntry
from skipfill.store.checks.saved_reports import load_report
from skipfill.store.errors import SkipfillError
from skipfill.store.galleries.log import BRINGING, Version
from skipfill.store.releases.release_log import releases_until
from skipfill.store.storage.object_store import ObjectStore


@dataclass(frozen=True)
class Withdrawal:
    """A rollback that left a model.

    Attributes:
        model: name of the model, and how it re-ranked.
        version: number of the version that rolled it back.
        by, reason: the user who rolled back, and the reason given.
        queries: digest of the queries of the check that had allowed the release; empty for none.
    """

    model: str
    version: int
    by: str
    reason: str
    queries: str

    def answered_by(self, passed: CheckEntry | None) -> bool:
        """Whether a pass was made after the rollback, on other queries than those that did not show the fault."""
        return passed is not None and passed.version >= self.version and passed.queries.digest != self.queries

    def __str__(self) -> str:
        why = f": {self.reason}" if self.reason else ", without a reason"
        return f"{self.model} was rolled back in version {self.version} by {self.by}{why}"


def withdrawal(objects: ObjectStore, gallery: str, now: Version, way: str) -> Withdrawal | None:
    """The rollback by which queries last stopped using a model; None if they did not, or stopped by a swap.

    A rollback to a later release, such as one that undoes a rollback, withdraws nothing. Dropping the gallery does not
    help: rollbacks of earlier galleries of the same name count, too.

    Args:
        now: the version in force, or an uncommitted one that follows it.
        way: fingerprint of how the model answers queries: see `way_fingerprint`.
    """
    newest_first = releases_until(objects, gallery, now, beyond_drops=True)
    for after, left in pairwise(newest_first):
        if after.release is not None and after.release.way == way:
            return None  # it is in force again
        if left.release is not None and left.release.way == way and after.action != "dropped":
            if after.action != "rolled back" or _forward(objects, gallery, after, left):
                return None
            return Withdrawal(str(left.release), after.number, after.by, after.reason, _queries(objects, gallery, left))
    return None


def _queries(objects: ObjectStore, gallery: str, released: Version) -> str:
    """The digest of the queries of the check that allowed a release; empty for none, or where its report is gone."""
    check = released.release.check if released.release is not None else ""
    try:
        return load_report(objects, gallery, check).queries.digest if check else ""
    except (SkipfillError, OSError):
        return ""


def readable_withdrawal(objects: ObjectStore, gallery: str, now: Version, way: str) -> Withdrawal | None:
    """The same, but None if the log cannot be read: for callers that a damaged log must not stop."""
    try:
        return withdrawal(objects, gallery, now, way)
    except (SkipfillError, OSError):
        return None


def _forward(objects: ObjectStore, gallery: str, after: Version, left: Version) -> bool:
    """Whether a rollback brought a release that is newer than the one that it left."""
    for entry in releases_until(objects, gallery, left):
        if entry.action in BRINGING and entry.release in (after.release, left.release):
            return entry.release == after.release
    return False
