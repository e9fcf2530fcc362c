"""Diagnosis of a gallery: its log, its files and its release."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from skipfill.store.errors import Advice
from skipfill.store.galleries.gallery import open_gallery
from skipfill.store.galleries.log import RESTORE, Version, newest_version, read_version
from skipfill.store.galleries.verify import reread_gallery
from skipfill.store.maintenance.finding import Finding, tried
from skipfill.store.models.cards import bundle_of, load_card, model_names
from skipfill.store.releases.forced_words import forced_words
from skipfill.store.releases.grounds import grounds_by_checks
from skipfill.store.storage.layout import log_folder, model_folder, version_file, version_key, version_number
from skipfill.store.storage.object_store import ObjectStore

SKEW = 60  # seconds that clocks of two machines may be apart


def of_gallery(objects: ObjectStore, name: str, *, deep: bool) -> list[Finding]:
    """Look at a gallery, and again while it changes: the findings may come from the change."""
    before, _ = tried(name, newest_version, objects, name)
    while findings := list(_of_gallery_now(objects, name, deep=deep)):
        after, _ = tried(name, newest_version, objects, name)
        if after == before:
            break
        before = after
    return findings


def _of_gallery_now(objects: ObjectStore, name: str, *, deep: bool) -> Iterator[Finding]:
    where = f"gallery {name}"
    newest, broken = tried(where, newest_version, objects, name)
    yield from (replace(finding, todo=_without_newest(objects, name) or finding.todo) for finding in broken)
    if newest is None:
        return  # no log: what is there is among the leftovers
    folder = log_folder(name)
    expected = [version_file(number) for number in range(1, newest.number + 1)]
    strange = sorted(set(expected) ^ set(objects.children(folder)))
    if strange:
        what = f"expected versions 1 to {newest.number} and nothing else, found {strange[0]} missing or unexpected"
        yield Finding("problem", str(objects.root / folder), what, "Restore the log from a copy.")
        return
    for number in range(1 if deep else max(1, newest.number - 1), newest.number):
        before, broken = tried(where, read_version, objects, name, number)
        yield from broken
        if before is not None and number == newest.number - 1 and _seconds(newest, before) > SKEW:
            what = f"version {newest.number} ({newest.at}) says it is older than version {number} ({before.at})"
            yield Finding("note", where, f"{what}: a clock went backwards; the log's order is by number, not by time")
    if _seconds(datetime.now(UTC), newest) > SKEW:
        what = f"version {newest.number} was written at {newest.at}, which is in the future: a clock is wrong"
        todo = "Set the clock of this machine, or of the one that wrote it. The log's order is by number, not by time."
        yield Finding("problem", where, what, todo)
    if newest.action != "dropped":
        yield from tried(where, reread_gallery if deep else open_gallery, objects, name)[1]
        yield from _of_release(objects, name, newest)


def _without_newest(objects: ObjectStore, gallery: str) -> str:
    """The remedy where the newest version of a log cannot be read, and perhaps others before it."""
    last = max(map(version_number, objects.children(log_folder(gallery))), default=0)
    newest = next((one for one in range(last - 1, 0, -1) if tried("", read_version, objects, gallery, one)[0]), 0)
    if not newest:
        return f"{RESTORE} No other version of this log can be read."
    removed = " to ".join(str(objects.root / version_key(gallery, one)) for one in sorted({newest + 1, last}))
    return f"{RESTORE} Without one, remove {removed}: version {newest} is then in force, and later changes are lost."


def _seconds(since: Version | datetime, until: Version) -> float:
    start = datetime.fromisoformat(since.at) if isinstance(since, Version) else since
    return (datetime.fromisoformat(until.at) - start).total_seconds()


def _of_release(objects: ObjectStore, gallery: str, newest: Version) -> Iterator[Finding]:
    release, where = newest.release, f"gallery {gallery}"
    if release is None:
        return
    if release.without_check:
        forced = forced_words(grounds_by_checks(objects, gallery, newest))
        yield Finding("note", where, f"queries use {release.model}: {forced}", Advice("see_history", gallery=gallery))
    if release.model not in model_names(objects):
        if bundle_of(objects, release.fingerprint):
            return
        what = f"its released model {release.model} is not in this store: a search needs query vectors"
        todo = f"Restore {model_folder(release.model)}/ from a copy, or roll back."
        # The encoder of the stored vectors may encode elsewhere.
        yield Finding("note" if release.model == newest.space else "problem", where, what, todo)
        return
    card, _ = tried(where, load_card, objects, release.model)
    if card is not None and card.fingerprint != release.fingerprint:
        what = f"expected released model {release.model} ({release.fingerprint[:12]}), found {card.fingerprint[:12]}"
        yield Finding("problem", where, what, f"Restore {model_folder(release.model)}/ from a copy, or roll back.")
