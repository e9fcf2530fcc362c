"""Withdrawn models: queries used them until a rollback."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from skipfill.store.checks.entry import CheckEntry
from skipfill.store.checks.queries import Queries, QuerySets
from skipfill.store.checks.saved_reports import load_report
from skipfill.store.errors import SkipfillError
from skipfill.store.galleries.log import BRINGING, Version, read_version
from skipfill.store.releases.release_log import brought_by, releases_until
from skipfill.store.storage.layout import report_key
from skipfill.store.storage.object_store import ObjectStore


@dataclass(frozen=True)
class LeftByRollback:
    """One rollback that left a model.

    Attributes:
        version: number of the version that rolled back.
        by, reason: the user who did, and the reason given.
        check: id of the check that had allowed the release; empty for none.
        queries: of that check; without a digest where they are not known.
        unread: the report of that check, where it cannot be read; empty where it can.
    """

    version: int
    by: str
    reason: str
    check: str = ""
    queries: Queries = Queries()
    unread: str = ""

    def __str__(self) -> str:
        return f"in version {self.version} by {self.by}{f': {self.reason}' if self.reason else ', without a reason'}"

    @property
    def unknown(self) -> str:
        """The reason why no pass can be compared with the check that had allowed the release; empty for none."""
        if self.unread:
            return f"the report of check {self.check}, which had allowed the release, cannot be read: {self.unread}"
        if self.check and not self.queries.digest:
            return f"check {self.check}, which had allowed the release, does not say what its queries were"
        return ""

    def open_after(self, passed: CheckEntry) -> str:
        """The reason why a later pass does not answer the rollback; empty where it does."""
        if self.unknown or not self.check:
            return self.unknown
        asked = replace(passed.queries, basis=self.queries.basis)
        # The reports of one format have a digest of all queries, and none of single ones.
        if asked.digest != self.queries.digest and not QuerySets([self.queries]).holds(asked):
            return ""
        same = "the same queries as" if asked.count == self.queries.count else "only queries of"
        return f"check {passed.check} has {same} check {self.check}, which had allowed the release"


@dataclass(frozen=True)
class Withdrawal:
    """The rollbacks that left a model, of which the last one still stands against it.

    Attributes:
        model: name that the model had, and how it re-ranked.
        rollbacks: every one that left it, the newest first.
    """

    model: str
    rollbacks: tuple[LeftByRollback, ...]

    @property
    def version(self) -> int:
        """Number of the version of the last rollback."""
        return self.rollbacks[0].version

    @property
    def unknown(self) -> str:
        """The reason why only the user's own reason can answer them, and no pass; empty where a pass can."""
        return next(filter(None, (one.unknown for one in self.rollbacks)), "")

    def open_after(self, passed: CheckEntry | None) -> str:
        """The reason why a pass does not answer the rollbacks; empty where it does.

        A pass answers them if it was made after the last one, with queries that the checks that had allowed the
        releases did not have: those did not show the fault.
        """
        if self.unknown or passed is None:
            return self.unknown or "no check allows it"
        if passed.version < self.version:
            return f"check {passed.check} passed before the rollback"
        return next(filter(None, (one.open_after(passed) for one in self.rollbacks)), "")

    def as_document(self) -> list[dict[str, Any]]:
        """The rollbacks as JSON values, the newest first."""
        return [{"version": one.version, "by": one.by, "reason": one.reason} for one in self.rollbacks]

    def __str__(self) -> str:
        return self.in_words(self.model)

    def in_words(self, model: str) -> str:
        """The rollbacks, for a reader who has asked for the model by this name, which may be another one."""
        same = "" if model == self.model else f", which is the same model as {model},"
        return f"{self.model}{same} was rolled back {self.when}"

    @property
    def when(self) -> str:
        """The last rollback, and the last of the others that has a reason: `in version 3 by alice: INC-43`."""
        last, *others = self.rollbacks
        shown = next((one for one in others if one.reason), others[0] if others else None)
        if shown is None:
            return str(last)
        more = f" ({len(others) - 1} more in the history)" if len(others) > 1 else ""
        return f"{last}; before that, {shown}{more}"


def withdrawal(objects: ObjectStore, gallery: str, now: Version, way: str) -> Withdrawal | None:
    """The rollbacks that left a model; None if queries use it, or if it was not a rollback that last made them stop.

    A rollback to a later release, such as one that undoes a rollback, withdraws nothing. Dropping the gallery does not
    help: rollbacks of earlier galleries of the same name count, too.

    Args:
        now: the version in force, or an uncommitted one that follows it.
        way: fingerprint of how the model answers queries: see `way_fingerprint`.
    """
    if _uses(now, way):
        return None  # without reading the log
    return withdrawal_in(objects, gallery, releases_until(objects, gallery, now, beyond_drops=True), way)


def withdrawal_in(objects: ObjectStore, gallery: str, releases: Iterable[Version], way: str) -> Withdrawal | None:
    """The same, from the versions that brought a release, the newest first: read only as far as needed."""
    name, found, older = "", [], iter(releases)
    if _uses(after := next(older), way):
        return None
    while (left := next(older, None)) is not None:
        if left.release is not None and _uses(left, way) and not _uses(after, way):
            before = [left, *older] if after.action == "rolled back" else []
            if before and not _forward(after, before):
                name = name or str(left.release)
                found.append(_rollback(objects, gallery, after, left.release.check))
            elif not found:
                return None
            older = iter(before[1:]) if before else older
        after = left
    return Withdrawal(name, tuple(found)) if found else None


def _uses(version: Version, way: str) -> bool:
    return version.release is not None and version.release.way == way


def withdrawn_since_swap(objects: ObjectStore, gallery: str, now: Version) -> list[Withdrawal]:
    """The models that the rollbacks since the last swap left, the last one first."""
    ways: list[str] = []
    for after, left in pairwise(releases_until(objects, gallery, now)):
        if after.action != "rolled back":
            break
        ways += [left.release.way] if left.release is not None else []
    return list(filter(None, (withdrawal(objects, gallery, now, way) for way in dict.fromkeys(ways))))


def readable_withdrawal(objects: ObjectStore, gallery: str, now: Version, way: str) -> Withdrawal | None:
    """The same as `withdrawal`, but None if the log cannot be read: for callers that must go on without it."""
    try:
        return withdrawal(objects, gallery, now, way)
    except (SkipfillError, OSError):
        return None


def came_back_after(objects: ObjectStore, gallery: str, now: Version) -> Withdrawal | None:
    """The rollbacks that had left the model in force before queries used it again; None for none."""
    brought = brought_by(objects, gallery, now)
    if now.release is None or brought.number < 2:
        return None
    return withdrawal(objects, gallery, read_version(objects, gallery, brought.number - 1), now.release.way)


def comebacks(objects: ObjectStore, gallery: str, log: Sequence[Version]) -> dict[int, Withdrawal]:
    """The rollbacks that had left a model, by the number of each version that brought the model back.

    Args:
        log: every version, from the first.
    """
    found: dict[int, Withdrawal] = {}
    releases: list[Version] = []  # the newest first
    for version in log:
        if version.released_at != version.number:
            continue
        if version.release is not None and releases:
            withdrawn = withdrawal_in(objects, gallery, releases, version.release.way)
            found |= {version.number: withdrawn} if withdrawn else {}
        releases.insert(0, version)
    return found


def _rollback(objects: ObjectStore, gallery: str, after: Version, check: str) -> LeftByRollback:
    """A rollback, and the queries of the check that had allowed the release that it left; `check` is empty for none."""
    queries, unread = Queries(), ""
    try:
        queries = load_report(objects, gallery, check).queries if check else queries
    except (SkipfillError, OSError):
        unread = str(objects.root / report_key(gallery, check))
    return LeftByRollback(after.number, after.by, after.reason, check, queries, unread)


def _forward(after: Version, before: Sequence[Version]) -> bool:
    """Whether a rollback brought a release that is newer than the one that it left.

    Args:
        before: the versions before the rollback that brought a release, the newest first.
    """
    left = before[0].release
    for entry in before:
        if entry.action in BRINGING and entry.release in (after.release, left):
            return entry.release == after.release
        if entry.action == "registered":
            break
    return False
