"""Diagnosis of a store: everything that can be found wrong without changing it, and the remedy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from skipfill.store.checks.index import index_keys, read_index_file
from skipfill.store.checks.saved_reports import check_ids, load_report
from skipfill.store.errors import Advice
from skipfill.store.maintenance.cached_copies import CachedCopies, cached_copies
from skipfill.store.maintenance.drop_model import bundle_bytes, unused_models
from skipfill.store.maintenance.environment import Environment, environment
from skipfill.store.maintenance.finding import Finding, tried
from skipfill.store.maintenance.gallery_findings import of_gallery
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
    report_key,
    space_key,
    space_of_key,
)
from skipfill.store.storage.location import way_of_naming
from skipfill.store.storage.object_store import ObjectStore

LITTLE_SPACE = 100_000_000


@dataclass(frozen=True)
class Diagnosis:
    """The state of a store.

    Attributes:
        writable: whether this user can write to the store; None on object storage, where only writing tells.
        free_bytes: on the store's disk, for this user; None on object storage.
        deep: whether every file of every bundle and gallery was read.
        leftovers: objects of runs that were killed or still run. They are not a problem; prune removes them.
        trainings: checkpoints of trainings that were interrupted or still run.
        cache: local copies of this user.
    """

    environment: Environment
    store: str
    writable: bool | None
    free_bytes: int | None
    deep: bool
    findings: list[Finding]
    leftovers: list[Leftover]
    trainings: list[Leftover]
    cache: CachedCopies

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
        *(_of_folders(objects, folder, writable=bool(writable), free=free or 0) if folder else ()),
        *_of_all("galleries", lambda: objects.children(GALLERIES), lambda name: of_gallery(objects, name, deep=deep)),
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
    lists = left or [], trainings or []
    return Diagnosis(around, str(objects.root), writable, free, deep, findings, *lists, cached_copies())


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


def _of_folders(objects: ObjectStore, root: Path, *, writable: bool, free: int) -> Iterator[Finding]:
    if not writable:
        yield Finding("note", str(root), "this user cannot write to it; commands that only read work")
    elif free < LITTLE_SPACE:
        yield Finding("problem", str(root), f"{free:,} bytes left on its disk", _could_go(objects))
    else:
        way, broken = tried(str(root), way_of_naming, root)
        yield from broken
        if way == "rename":
            what = "no hard links on its disk: new versions get their names by renaming without replacement"
            yield Finding("note", str(root), what)
    for path in root.rglob("*"):
        need = os.R_OK | (os.X_OK | (os.W_OK if writable else 0) if path.is_dir() else 0)
        if not os.access(path, need) and os.path.lexists(path):  # not one whose writer has just finished
            what = "expected the permissions of the rest of the store, found that this user has no access"
            yield Finding("problem", str(path), what, "Give it the owner and mode of the store's folder.")


def _could_go(objects: ObjectStore) -> Advice:
    """The things that could be removed from the store, with their sizes; what cannot be read is left out."""
    left = sum(one.bytes for one in tried("", leftovers, objects)[0] or [])
    trainings = sum(one.bytes for one in tried("", unfinished_trainings, objects)[0] or [])
    cards = [card for name in model_names(objects) if (card := tried("", load_card, objects, name)[0]) is not None]
    could = [f"leftover files ({left:,} bytes)"] if left else []
    could += [f"unfinished trainings ({trainings:,} bytes)"] if trainings else []
    could += [
        f"model {card.name}, which no gallery uses ({bundle_bytes(objects, card.name):,} bytes)"
        for card in tried("", unused_models, objects, cards)[0] or []
    ]
    return Advice("make_space", could_go="; ".join(could) or "nothing in the store")


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
