"""Diagnosis of a store: everything that can be found wrong without changing it, and the remedy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from skipfill.store.checks.index import index_keys, read_index_file
from skipfill.store.checks.saved_reports import check_ids, load_report
from skipfill.store.galleries.gallery import open_gallery
from skipfill.store.galleries.log import RESTORE, Version, newest_version, read_version
from skipfill.store.galleries.verify import reread_gallery
from skipfill.store.maintenance.environment import Environment, environment
from skipfill.store.maintenance.finding import Finding, tried
from skipfill.store.maintenance.overlays import overlay_findings
from skipfill.store.maintenance.prune import Leftover, leftovers, unfinished_trainings
from skipfill.store.models.cards import file_key, load_card, model_names
from skipfill.store.models.files import read_file
from skipfill.store.spaces import load_space
from skipfill.store.storage.layout import (
    CHECKS,
    GALLERIES,
    OVERLAYS,
    SPACES,
    log_folder,
    model_folder,
    report_key,
    space_key,
    space_of_key,
    version_file,
    version_key,
    version_number,
)
from skipfill.store.storage.location import way_of_naming
from skipfill.store.storage.object_store import ObjectStore

LITTLE_SPACE = 100_000_000
SKEW = 60  # seconds that clocks of two machines may be apart


@dataclass(frozen=True)
class Diagnosis:
    """The state of a store.

    Attributes:
        writable: whether this user can write to the store; None on object storage, where only writing tells.
        free_bytes: on the store's disk, for this user; None on object storage.
        deep: whether every file of every bundle and gallery was read.
        leftovers: objects of runs that were killed or still run. They are not a problem; prune removes them.
        trainings: checkpoints of trainings that were interrupted or still run.
    """

    environment: Environment
    store: str
    writable: bool | None
    free_bytes: int | None
    deep: bool
    findings: list[Finding]
    leftovers: list[Leftover]
    trainings: list[Leftover]

    @property
    def healthy(self) -> bool:
        return not any(finding.kind == "problem" for finding in self.findings)


def diagnose(objects: ObjectStore, *, deep: bool = False) -> Diagnosis:
    """Look at the environment, the store, its clock, its galleries, models, checks, spaces and leftovers.

    Args:
        deep: read every file of every model and gallery whole, and every version of every log.
    """
    around = environment()
    folder = objects.root if isinstance(objects.root, Path) else None
    free = shutil.disk_usage(folder).free if folder else None
    writable = os.access(folder, os.W_OK | os.X_OK) if folder else None
    left, unlisted = tried("leftovers", leftovers, objects)
    trainings, unlisted_trainings = tried("trainings", unfinished_trainings, objects)
    findings = [
        *_of_environment(around),
        *(_of_folders(folder, writable=bool(writable), free=free or 0) if folder else ()),
        *_of_all("galleries", lambda: objects.children(GALLERIES), lambda name: _of_gallery(objects, name, deep=deep)),
        *_of_all("models", lambda: model_names(objects), lambda name: _of_model(objects, name, deep=deep)),
        *_of_all("checks", lambda: objects.children(CHECKS), lambda gallery: _of_checks(objects, gallery)),
        *_of_all(
            "overlays",
            lambda: objects.children(OVERLAYS),
            lambda gallery: overlay_findings(objects, gallery, deep=deep),
        ),
        *_of_all("spaces", lambda: objects.children(SPACES), lambda file: _of_space(objects, file)),
        *unlisted,
        *unlisted_trainings,
    ]
    return Diagnosis(around, str(objects.root), writable, free, deep, findings, left or [], trainings or [])


def _of_all(where: str, names: Callable[[], list[str]], look: Callable[[str], Iterable[Finding]]) -> Iterator[Finding]:
    """Look at each of the things listed, and report a failure to list them too."""
    listed, broken = tried(where, names)
    yield from broken
    for name in listed or []:
        findings, broken = tried(f"{where}: {name}", lambda name=name: list(look(name)))
        yield from (*(findings or []), *broken)


def _of_environment(around: Environment) -> Iterator[Finding]:
    for name in around.missing:
        yield Finding("problem", name, "expected this package, found none installed", "Install skipfill again.")


def _of_folders(root: Path, *, writable: bool, free: int) -> Iterator[Finding]:
    if not writable:
        yield Finding("note", str(root), "this user cannot write to it; commands that only read work")
    elif free < LITTLE_SPACE:
        yield Finding("problem", str(root), f"{free:,} bytes left on its disk", "Make space.")
    else:
        way, broken = tried(str(root), way_of_naming, root)
        yield from broken
        if way == "rename":
            what = "no hard links on its disk: new versions get their names by renaming without replacement"
            yield Finding("note", str(root), what)
    for path in root.rglob("*"):
        need = os.R_OK | (os.X_OK | (os.W_OK if writable else 0) if path.is_dir() else 0)
        if not os.access(path, need) and os.path.lexists(path):  # not one whose writer has just finished
            what = "expected the permissions of the rest of the store, found that this user cannot use it"
            yield Finding("problem", str(path), what, "Give it the owner and mode of the store's folder.")


def _of_gallery(objects: ObjectStore, name: str, *, deep: bool) -> list[Finding]:
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
        what = f"version {newest.number} was written at {newest.at}, which is in the future: a clock went backwards"
        todo = "Set the clock of this machine, or of the one that wrote it. The log's order is by number, not by time."
        yield Finding("problem", where, what, todo)
    if newest.action != "dropped":
        yield from tried(where, reread_gallery if deep else open_gallery, objects, name)[1]
        yield from _of_release(objects, where, newest)


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


def _of_release(objects: ObjectStore, where: str, newest: Version) -> Iterator[Finding]:
    release = newest.release
    if release is None:
        return
    if release.model not in model_names(objects):
        what = f"its released model {release.model} is not in this store: a search needs query vectors"
        yield Finding("note", where, what)
        return
    card, _ = tried(where, load_card, objects, release.model)
    if card is not None and card.fingerprint != release.fingerprint:
        what = f"expected released model {release.model} ({release.fingerprint[:12]}), found {card.fingerprint[:12]}"
        yield Finding("problem", where, what, f"Restore {model_folder(release.model)}/ from a copy, or roll back.")


def _of_model(objects: ObjectStore, name: str, *, deep: bool) -> Iterator[Finding]:
    where = f"model {name}"
    card, broken = tried(where, load_card, objects, name)
    yield from broken
    if card is None:
        return
    for file in card.files:
        # read_file says what is wrong with a file; without `deep` only that it is not there.
        if deep or not objects.exists(file_key(card, file)):
            yield from tried(where, read_file, objects, card, file)[1]


def _of_checks(objects: ObjectStore, gallery: str) -> Iterator[Finding]:
    for check in check_ids(objects, gallery):
        yield from tried(f"check {check} of gallery {gallery}", load_report, objects, gallery, check)[1]
    for key in index_keys(objects, gallery):
        file, broken = tried(f"checks of gallery {gallery}", read_index_file, objects, key)
        yield from broken
        if file is not None and not objects.exists(report_key(gallery, file.entry.check)):
            what = f"expected the report of check {file.entry.check}, found no such file"
            yield Finding("problem", str(objects.root / key), what, "Restore it from a copy, or check again.")


def _of_space(objects: ObjectStore, file: str) -> Iterator[Finding]:
    name = space_of_key(file)
    wrong = tried(f"space {name}", load_space, objects, name)[1]
    yield from wrong if wrong and objects.exists(space_key(name)) else ()  # a leftover may be pruned meanwhile
