"""Rollback: an earlier release brought back, as one new version in the gallery's log. Needs no model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from skipfill.store.errors import Advice, BadInput, Parameter, Stale
from skipfill.store.galleries.commit import commit, told
from skipfill.store.galleries.log import BRINGING, Version, latest, read_version
from skipfill.store.models.release import Release
from skipfill.store.storage.object_store import ObjectStore

MOST_NAMED = 6
"""Other releases that the error of a second rollback names."""


@dataclass(frozen=True)
class Rollback:
    """A rollback before it is committed.

    Attributes:
        version: the version that would follow; the one in force where that has the release already.
        origin: number of the newest version that brought this release, by a swap or a registration.
        already: whether the release is in force already, so that there is nothing to write.
    """

    version: Version
    origin: int
    already: bool


def planned_rollback(objects: ObjectStore, gallery: str, reason: str = "", to: int = 0) -> Rollback:
    """Plan to bring back an earlier release. Writes nothing.

    Args:
        to: number of the version whose release is wanted; 0 for the release before the swap in force. After a
            rollback there is none: a second one may be meant to repeat the first, or to go back further.

    Raises:
        BadInput: no swap to roll back, or no such version since the gallery was registered.
        Stale: somebody rolled back already, and `to` is not given.
    """
    now = latest(objects, gallery)
    target = _version_named(objects, gallery, now, to) if to else _before_the_swap(objects, gallery, now)
    origin = _origin(objects, gallery, now, target)
    if to and target.release == now.release:
        return Rollback(now, origin, already=True)
    following = replace(
        now,
        number=now.number + 1,
        action="rolled back",
        release=target.release,
        undo=target.undo,
        reason=reason,
        plan="",
    )
    return Rollback(following, origin, already=False)


def rollback(objects: ObjectStore, gallery: str, reason: str = "", to: int = 0) -> Version:
    """Bring back an earlier release, as a new version: see `planned_rollback`. Needs no model and no accelerator.

    Raises:
        Stale: another change was first.
    """
    return commit_rollback(objects, gallery, planned_rollback(objects, gallery, reason, to))


def commit_rollback(objects: ObjectStore, gallery: str, planned: Rollback) -> Version:
    """Write the version of a planned rollback, unless its release is in force already.

    Raises:
        Stale: another change was first.
    """
    return planned.version if planned.already else commit(objects, gallery, planned.version)


def release_origins(log: Sequence[Version]) -> dict[int, int]:
    """Number of each version of a log -> number of the version that brought its release: a swap or a registration.

    For a rollback it is the newest one before it that brought the same release.

    Args:
        log: every version, from the first.
    """
    origins: dict[int, int] = {}
    brought: list[Version] = []
    for version in log:
        since = version.released_at
        if version.action == "registered":
            brought = []
        if version.action in BRINGING:
            brought.append(version)
        if version.action == "rolled back":
            origins[version.number] = _newest_of(version.release, reversed(brought), version)
        else:
            origins[version.number] = version.number if since == version.number else origins[since]
    return origins


def _origin(objects: ObjectStore, gallery: str, now: Version, target: Version) -> int:
    """Number of the newest version up to `now` that brought the release of `target`."""
    return _newest_of(target.release, _releases_until(objects, gallery, now), target)


def _newest_of(release: Release | None, newest_first: Iterable[Version], otherwise: Version) -> int:
    same = (entry.number for entry in newest_first if entry.action in BRINGING and entry.release == release)
    return next(same, otherwise.number)


def _brought(objects: ObjectStore, gallery: str, version: Version) -> Version:
    """The version that brought the release of `version`, which may be the same one."""
    since = version.released_at
    return version if since == version.number else read_version(objects, gallery, since)


def _releases_until(objects: ObjectStore, gallery: str, version: Version) -> Iterator[Version]:
    """The versions up to `version` that brought a release, the newest first, back to its registration.

    Reads two versions for each, however many others lie between them.
    """
    while True:
        brought = _brought(objects, gallery, version)
        yield brought
        if brought.action == "registered" or brought.number == 1:
            return
        version = read_version(objects, gallery, brought.number - 1)


def _version_named(objects: ObjectStore, gallery: str, now: Version, number: int) -> Version:
    """The version of this number, if the gallery has been the same one since."""
    since_registered = any(entry.number <= number for entry in _releases_until(objects, gallery, now))
    if number > now.number or not since_registered:
        raise BadInput(
            Parameter("to"),
            expected=f"a version of gallery {gallery} since it was registered",
            found=str(number),
            hint=Advice("see_history", gallery=gallery),
        )
    return read_version(objects, gallery, number)


def _before_the_swap(objects: ObjectStore, gallery: str, now: Version) -> Version:
    """The version before the swap in force."""
    brought = _brought(objects, gallery, now)
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
    """The newest versions that brought another release than the one in force: `5 (v3, no check allowed it), 2 (v1)`."""
    releases, others = [now.release], []
    for entry in _releases_until(objects, gallery, now):
        if entry.action in BRINGING and entry.release not in releases:
            releases.append(entry.release)
            others.append(f"{entry.number} ({_described(entry)})")
        if len(others) == MOST_NAMED:
            break
    return ", ".join(others)


def _described(version: Version) -> str:
    unchecked = version.release is not None and version.release.without_check
    return version.queries_use + (", no check allowed it" if unchecked else "")
