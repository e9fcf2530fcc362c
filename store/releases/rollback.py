"""Rollback: an earlier release, brought back by one new version in the gallery's log. Needs no model."""

from __future__ import annotations

from dataclasses import dataclass, replace

from skipfill.store.checks.index import CheckIndex
from skipfill.store.errors import Advice, BadInput, NotAcceptable, Parameter, Stale
from skipfill.store.galleries.commit import commit, told
from skipfill.store.galleries.log import BRINGING, Version, latest, read_version
from skipfill.store.releases.objections import objections
from skipfill.store.releases.release_log import brought_by, origin_of, releases_until
from skipfill.store.releases.withdrawn import readable_withdrawal
from skipfill.store.storage.object_store import ObjectStore

MOST_NAMED = 6
"""Most releases that the error of a second rollback names."""


@dataclass(frozen=True)
class Rollback:
    """A rollback before it is committed.

    Attributes:
        version: the version that would follow; the one in force if it has the release already.
        origin: number of the newest version that brought this release, by a swap or a registration.
        already: whether the release is in force already, so that there is nothing to write.
        undo: number of the version to roll back to in order to undo this; 0 if that release has objections of its own.
        undo_needs_reason: whether such an undo needs a reason.
    """

    version: Version
    origin: int
    already: bool
    undo: int = 0
    undo_needs_reason: bool = False


def planned_rollback(objects: ObjectStore, gallery: str, reason: str = "", to: int = 0) -> Rollback:
    """Plan to bring back an earlier release. Writes nothing.

    Args:
        to: number of the version whose release is wanted; 0 for the release before the swap in force. After a
            rollback, 0 is refused: a second one may be a mere repetition, or meant to go back further.

    Raises:
        NotAcceptable: there are objections to the release that would come back, and no reason is given.
        BadInput: no swap to roll back, or no such version since the gallery was registered.
        Stale: the release in force came by a rollback, and `to` is not given.
    """
    now = latest(objects, gallery)
    target = _version_named(objects, gallery, now, to) if to else _before_the_swap(objects, gallery, now)
    origin = origin_of(objects, gallery, now, target)
    if to and target.release == now.release:
        return Rollback(now, origin, already=True)
    index = CheckIndex(objects, gallery)
    against = objections(objects, gallery, now, target, index)
    if against and not reason:
        raise NotAcceptable(
            f"gallery {gallery}: {target.queries_use} comes back only with a reason: {against}",
            Advice("give_reason", gallery=gallery, version=to or target.number),
        )
    following = replace(
        now,
        number=now.number + 1,
        action="rolled back",
        release=target.release,
        undo=target.undo,
        reason=reason,
        plan="",
        since=None,
    )
    undo = 0 if objections(objects, gallery, now, now, index) else now.number
    left = now.release if undo else None
    withdrawn = left is not None and readable_withdrawal(objects, gallery, following, left.way)
    return Rollback(following, origin, already=False, undo=undo, undo_needs_reason=bool(withdrawn))


def rollback(objects: ObjectStore, gallery: str, reason: str = "", to: int = 0) -> Version:
    """Bring back an earlier release, as a new version: see `planned_rollback`. Needs no model and no accelerator.

    Raises:
        Stale: another change came first.
    """
    return commit_rollback(objects, gallery, planned_rollback(objects, gallery, reason, to))


def commit_rollback(objects: ObjectStore, gallery: str, planned: Rollback) -> Version:
    """Write the version of a planned rollback, unless its release is in force already.

    Raises:
        Stale: another change came first.
    """
    return planned.version if planned.already else commit(objects, gallery, planned.version)


def _version_named(objects: ObjectStore, gallery: str, now: Version, number: int) -> Version:
    """The version of this number, if the gallery was not registered again since."""
    since_registered = any(entry.number <= number for entry in releases_until(objects, gallery, now))
    if number > now.number or not since_registered:
        *_, registered = releases_until(objects, gallery, now)
        others = _other_releases(objects, gallery, now)
        raise BadInput(
            Parameter("to"),
            expected=f"a version of gallery {gallery} since it was registered ({registered.number} to {now.number})",
            found=str(number),
            hint=Advice("roll_back_to", gallery=gallery, versions=others)
            if others
            else Advice("see_history", gallery=gallery),
        )
    return read_version(objects, gallery, number)


def _before_the_swap(objects: ObjectStore, gallery: str, now: Version) -> Version:
    """The version before the swap in force."""
    brought = brought_by(objects, gallery, now)
    if brought.action == "rolled back":
        raise Stale(
            f"gallery {gallery}: expected a swap in force to roll back, found that {told(brought)}",
            Advice("roll_back_to", gallery=gallery, versions=_other_releases(objects, gallery, now)),
        )
    if now.undo == 0:
        raise BadInput(
            f"gallery {gallery}",
            expected="a swap in force to roll back",
            found=f"none (version {now.number} was {now.action})",
            hint=Advice("see_history", gallery=gallery),
        )
    return read_version(objects, gallery, now.undo)


def _other_releases(objects: ObjectStore, gallery: str, now: Version) -> str:
    """The newest versions that brought releases other than the one in force: `5 (v3, no check allowed it), 2 (v1)`."""
    releases, others = [now.release], []
    for entry in releases_until(objects, gallery, now):
        if entry.action in BRINGING and entry.release not in releases:
            releases.append(entry.release)
            others.append(f"{entry.number} ({_described(objects, gallery, now, entry)})")
        if len(others) == MOST_NAMED:
            break
    return ", ".join(others)


def _described(objects: ObjectStore, gallery: str, now: Version, version: Version) -> str:
    """A release, and the objections to it that can be told without its checks."""
    release = version.release
    if release is None:
        return version.queries_use
    unchecked = ", no check allowed it" if release.without_check else ""
    withdrawn = readable_withdrawal(objects, gallery, now, release.way)
    return f"{release}{unchecked}" + (f", rolled back in version {withdrawn.version}" if withdrawn else "")
