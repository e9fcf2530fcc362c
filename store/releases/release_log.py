"""The releases in a gallery's log: the versions that brought them, and where each came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from skipfill.store.galleries.log import BRINGING, Version, read_version
from skipfill.store.models.release import Release
from skipfill.store.storage.object_store import ObjectStore


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
            origins[version.number] = _newest(version.release, reversed(brought), version)
        else:
            origins[version.number] = version.number if since == version.number else origins[since]
    return origins


def origin_of(objects: ObjectStore, gallery: str, now: Version, target: Version) -> int:
    """Number of the newest version up to `now` that brought the release of `target`."""
    return _newest(target.release, releases_until(objects, gallery, now), target)


def _newest(release: Release | None, newest_first: Iterable[Version], otherwise: Version) -> int:
    same = (entry.number for entry in newest_first if entry.action in BRINGING and entry.release == release)
    return next(same, otherwise.number)


def brought_by(objects: ObjectStore, gallery: str, version: Version) -> Version:
    """The version that brought the release of `version`, which may be the same one."""
    since = version.released_at
    return version if since == version.number else read_version(objects, gallery, since)


def releases_until(
    objects: ObjectStore, gallery: str, version: Version, *, beyond_drops: bool = False
) -> Iterator[Version]:
    """The versions up to `version` that brought a release, the newest first, back to the gallery's registration.

    Two versions are read for each, however many lie between them.

    Args:
        beyond_drops: whether to continue with earlier galleries of this name that were dropped.
    """
    while True:
        brought = brought_by(objects, gallery, version)
        yield brought
        if brought.number == 1 or (brought.action == "registered" and not beyond_drops):
            return
        version = read_version(objects, gallery, brought.number - 1)
