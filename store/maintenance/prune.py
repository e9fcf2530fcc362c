"""Leftover objects of interrupted runs: no card, report or version refers to them, and nobody reads them.

While they are removed, others may write the same names and refer to them: see `store.storage.quarantine`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from skipfill.store.checks.saved_reports import counted_checks
from skipfill.store.galleries.file_list import read_files
from skipfill.store.galleries.log import Version, newest_version, read_version
from skipfill.store.galleries.row_marks import file_marks_key
from skipfill.store.maintenance.kinds import KINDS, kind_of
from skipfill.store.maintenance.overlays import drop_orphans, kept_overlay_files
from skipfill.store.models.cards import file_key, has_model, load_card
from skipfill.store.spaces import load_space
from skipfill.store.storage.layout import (
    CHECKS,
    GALLERIES,
    MODELS,
    OVERLAYS,
    SPACES,
    TRAINING,
    aside_key,
    card_key,
    check_folder,
    checks_folder,
    file_list_key,
    gallery_folder,
    is_name,
    model_folder,
    original_key,
    row_marks_folder,
    space_key,
    space_of_key,
    training_folder,
)
from skipfill.store.storage.object_store import Entry, ObjectStore
from skipfill.store.storage.quarantine import put_back, set_aside

YOUNG = timedelta(hours=1)  # a writer that still runs may own what is younger
YOUNG_TRAINING = timedelta(days=1)  # a training that still runs writes after each epoch
UNFINISHED_TRAINING = "an unfinished training, which the same command resumes"
UNFINISHED = "an interrupted write"
ASIDE = "set aside by an interrupted prune"


@dataclass(frozen=True)
class Leftover:
    """An object that nothing refers to.

    Attributes:
        age: seconds since it was written; negative when its time is after now.
        young: whether a writer may still own it.
        why: kind of leftover, in words.
    """

    key: str
    bytes: int
    age: float
    young: bool
    why: str


def unfinished_trainings(objects: ObjectStore) -> list[Leftover]:
    """List the checkpoints of trainings that were interrupted, or that still run, by key. They are not leftovers."""
    now = datetime.now(UTC)
    return [_of_training(entry, now) for entry in _checkpoints(objects)]


def leftovers(objects: ObjectStore) -> list[Leftover]:
    """List every leftover in the store, by key. Reads each gallery's whole log and each model's card.

    A damaged card or version may refer to anything of its kind: all of that is kept.
    """
    now = datetime.now(UTC)
    return [_leftover(entry, now) for entry in _unreferred(objects, orphans=False)]


def prune(
    objects: ObjectStore, *, all_ages: bool = False, trainings: bool = False, dry_run: bool = False
) -> list[Leftover]:
    """Delete the leftovers and return them. A kill in the middle leaves the rest for the next time.

    An object that is written again or referred to meanwhile stays. One case is left on object storage, which cannot
    move an object atomically: a writer writes a leftover again in the moment between the look at its time and its
    deletion, commits, and is killed before it checks that everything is there.

    Args:
        all_ages: also those younger than an hour; only safe while nothing else writes to the store.
        trainings: also unfinished trainings that were not written to for a day, or, with `all_ages`, all of them.
        dry_run: only list them.

    Raises:
        BadInput: one cannot be deleted.
    """
    now = datetime.now(UTC)
    if not dry_run:
        drop_orphans(objects)
    entries = {entry.key: entry for entry in _unreferred(objects, orphans=not dry_run)}
    checkpoints = {entry.key: entry for entry in _checkpoints(objects)} if trainings else {}
    candidates = [_leftover(entry, now) for entry in entries.values()]
    candidates += [_of_training(entry, now) for entry in checkpoints.values()]
    entries |= checkpoints
    chosen = [left for left in candidates if all_ages or not left.young]
    if dry_run or not chosen:
        return chosen
    chosen = [left for left in chosen if _out_of_the_way(objects, entries[left.key])]
    kept = _kept(objects, list(objects.entries()), orphans=True) - checkpoints.keys()
    for left in chosen:
        if original_key(left.key) in kept:
            put_back(objects, original_key(left.key))
        else:
            objects.delete(left.key if _is_out(entries[left.key]) else aside_key(left.key))
    return [left for left in chosen if original_key(left.key) not in kept]


def _checkpoints(objects: ObjectStore) -> list[Entry]:
    """The checkpoints of models that are not complete, by key."""
    entries = [entry for entry in objects.entries(TRAINING) if not entry.unfinished and kind_of(entry.key)]
    models = {model for model in _children([entry.key for entry in entries], TRAINING) if not has_model(objects, model)}
    return sorted((entry for entry in entries if entry.key.split("/")[1] in models), key=lambda entry: entry.key)


def _unreferred(objects: ObjectStore, *, orphans: bool) -> list[Entry]:
    # Listed before what refers to it is read: what a writer finishes meanwhile is not taken for a leftover.
    entries = list(objects.entries())
    kept = _kept(objects, entries, orphans=orphans)
    left = [entry for entry in entries if _is_out(entry) or (kind_of(entry.key) and entry.key not in kept)]
    return sorted(left, key=lambda entry: entry.key)


def _kept(objects: ObjectStore, entries: list[Entry], *, orphans: bool) -> set[str]:
    """The keys that something refers to; with `orphans`, also the overlays of dropped galleries."""
    keys = [original_key(entry.key) for entry in entries if not entry.unfinished]
    kept = {*_referred(objects, keys), *kept_overlay_files(objects, _under(keys, OVERLAYS), orphans=orphans)}
    return kept | set(_earlier(objects, _under(sorted(kept), SPACES)))


def _is_out(entry: Entry) -> bool:
    return entry.unfinished or original_key(entry.key) != entry.key


def _out_of_the_way(objects: ObjectStore, entry: Entry) -> bool:
    return _is_out(entry) or set_aside(objects, entry.key, entry.modified)


def _leftover(entry: Entry, now: datetime) -> Leftover:
    age = now - entry.modified
    why = UNFINISHED if entry.unfinished else ASIDE if _is_out(entry) else KINDS[kind_of(entry.key)]
    return Leftover(entry.key, entry.bytes, age.total_seconds(), age < YOUNG, why)


def _of_training(entry: Entry, now: datetime) -> Leftover:
    age = now - entry.modified
    return Leftover(entry.key, entry.bytes, age.total_seconds(), age < YOUNG_TRAINING, UNFINISHED_TRAINING)


def _referred(objects: ObjectStore, keys: list[str]) -> Iterator[str]:
    """The keys that something refers to."""
    for model in _children(keys, MODELS):
        yield from _by_card(objects, model, keys)
    for gallery in _children(keys, GALLERIES):
        yield from _by_log(objects, gallery, keys)
    for model in _children(keys, TRAINING):
        if not has_model(objects, model):
            yield from _under(keys, training_folder(model))
    for gallery in _children(keys, CHECKS):
        yield from _by_index(objects, gallery, keys)


def _by_index(objects: ObjectStore, gallery: str, keys: list[str]) -> Iterator[str]:
    """The checks that count. One that was cut off before its entry was written never does."""
    try:
        for check in counted_checks(objects, gallery):
            yield from _under(keys, check_folder(gallery, check))
    except Exception:  # whatever is wrong with an entry
        yield from _under(keys, checks_folder(gallery))


def _by_card(objects: ObjectStore, model: str, keys: list[str]) -> Iterator[str]:
    if not has_model(objects, model):
        return
    try:
        card = load_card(objects, model)
        yield card_key(model)
        yield from (file_key(card, file) for file in card.files)
        yield from map(space_key, card.views)
    except Exception:  # whatever is wrong with it
        yield from (*_under(keys, model_folder(model)), *_under(keys, SPACES))


def _by_log(objects: ObjectStore, gallery: str, keys: list[str]) -> Iterator[str]:
    lists: dict[str, Version] = {}
    try:
        newest = newest_version(objects, gallery)
        for number in range(1, newest.number + 1 if newest else 1):
            version = read_version(objects, gallery, number)
            yield file_list_key(gallery, version.files)
            yield space_key(version.space)
            lists[version.files] = version
            if version.action == "dropped":
                lists.clear()  # row hashes of a gallery that was dropped serve nothing more
    except Exception:  # whatever is wrong with it
        yield from (*_under(keys, gallery_folder(gallery)), *_under(keys, SPACES))
    for version in lists.values():
        try:
            files = read_files(objects, gallery, version)
            yield from (file_marks_key(gallery, file) for file in files if file.content)
        except Exception:  # whatever is wrong with it
            yield from _under(keys, row_marks_folder(gallery))


def _earlier(objects: ObjectStore, kept: list[str]) -> Iterator[str]:
    """The spaces that these have views onto: their models' bundles may be gone."""
    for key in kept:
        try:
            yield from map(space_key, load_space(objects, space_of_key(key)).views)
        except Exception:  # whatever is wrong with it, or a model's own space without a gallery
            continue


def _children(keys: list[str], folder: str) -> list[str]:
    """Names directly under a folder."""
    names = {key.removeprefix(f"{folder}/").split("/")[0] for key in _under(keys, folder)}
    return sorted(filter(is_name, names))


def _under(keys: list[str], folder: str) -> list[str]:
    return [key for key in keys if key.startswith(f"{folder}/")]
