"""What runs that were killed left: staged objects that no card, report or version refers to. Nobody reads them.

While they are removed, others may write the same names and refer to them: see `store.aside`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from skipfill.store.galleries.log import newest_version, read
from skipfill.store.models.cards import CARD, file_key, load_card
from skipfill.store.spaces import load_space
from skipfill.store.storage.object_store import Entry, ObjectStore
from skipfill.store.storage.quarantine import aside, original, put_back, set_aside

YOUNG = timedelta(hours=1)  # a writer that still runs may own what is younger
UNFINISHED = "a write that was cut off"
ASIDE = "set aside by a prune that was cut off"
# What may be left in each folder. Anything else in the store is none of ours to remove.
KINDS = {
    "models/*/*": "a file of no card",
    "checks/*/*/*": "a check without its report",
    "galleries/*/files/*": "a file list of no version",
    "spaces/*": "a space of no gallery and no model",
    "training/*/*": "a checkpoint of a model that is complete",
}


@dataclass(frozen=True)
class Leftover:
    """Attributes:
    age: seconds since it was written; negative when its time is after now.
    young: whether a writer may still own it.
    why: what it is, in words.
    """

    key: str
    bytes: int
    age: float
    young: bool
    why: str


def leftovers(objects: ObjectStore) -> list[Leftover]:
    """Every leftover in the store, by key. Reads each gallery's whole log and each model's card.

    What a damaged card or version refers to is not known: all that it might is kept.
    """
    now = datetime.now(UTC)
    return [_leftover(entry, now) for entry in _unreferred(objects)]


def prune(objects: ObjectStore, *, all_ages: bool = False, dry_run: bool = False) -> list[Leftover]:
    """Delete the leftovers and name them. A kill in the middle leaves the rest for the next time.

    What is written again or referred to meanwhile stays. On object storage, which cannot move an object atomically,
    one case is left: a writer writes a leftover again in the moment between the look at its time and its deletion,
    commits, and is killed before it looks whether all is there.

    Args:
        all_ages: also those younger than an hour; only safe while nothing else writes to the store.
        dry_run: name them only.

    Raises:
        BadInput: one cannot be deleted.
    """
    now = datetime.now(UTC)
    entries = {entry.key: entry for entry in _unreferred(objects)}
    found = [one for one in (_leftover(entry, now) for entry in entries.values()) if all_ages or not one.young]
    if dry_run or not found:
        return found
    found = [one for one in found if _out_of_the_way(objects, entries[one.key])]
    kept = _kept(objects, list(objects.entries()))
    for one in found:
        if original(one.key) in kept:
            put_back(objects, original(one.key))
        else:
            objects.delete(one.key if _is_out(entries[one.key]) else aside(one.key))
    return [one for one in found if original(one.key) not in kept]


def _unreferred(objects: ObjectStore) -> list[Entry]:
    # Listed before what refers to it is read: what a writer finishes meanwhile is not taken for a leftover.
    entries = list(objects.entries())
    kept = _kept(objects, entries)
    left = [one for one in entries if _is_out(one) or (_pattern(one.key) and one.key not in kept)]
    return sorted(left, key=lambda one: one.key)


def _kept(objects: ObjectStore, entries: list[Entry]) -> set[str]:
    """The keys that something refers to."""
    keys = [original(entry.key) for entry in entries if not entry.unfinished]
    kept = set(_referred(objects, keys))
    return kept | set(_earlier(objects, [key for key in kept if key.startswith("spaces/")]))


def _is_out(entry: Entry) -> bool:
    return entry.unfinished or original(entry.key) != entry.key


def _out_of_the_way(objects: ObjectStore, entry: Entry) -> bool:
    return _is_out(entry) or set_aside(objects, entry.key, entry.modified)


def _leftover(entry: Entry, now: datetime) -> Leftover:
    age = now - entry.modified
    why = UNFINISHED if entry.unfinished else ASIDE if _is_out(entry) else KINDS[_pattern(entry.key)]
    return Leftover(entry.key, entry.bytes, age.total_seconds(), age < YOUNG, why)


def _pattern(key: str) -> str:
    """The kind of leftover that `key` would be; empty where it can be none."""
    parts = key.split("/")
    for pattern in KINDS:
        wanted = pattern.split("/")
        if len(parts) == len(wanted) and all(want in ("*", part) for want, part in zip(wanted, parts, strict=True)):
            return pattern
    return ""


def _referred(objects: ObjectStore, keys: list[str]) -> Iterator[str]:
    """The keys that something refers to."""
    names = {folder: _children(keys, folder) for folder in ("models", "checks", "galleries", "training")}
    for name in names["models"]:
        yield from _by_card(objects, name, keys)
    for name in names["galleries"]:
        yield from _by_log(objects, name, keys)
    for name in names["training"]:
        if not objects.exists(f"models/{name}/{CARD}"):
            yield from _under(keys, f"training/{name}")
    for gallery in names["checks"]:
        for check in _children(keys, f"checks/{gallery}"):
            if objects.exists(f"checks/{gallery}/{check}/report.json"):
                yield from _under(keys, f"checks/{gallery}/{check}")


def _by_card(objects: ObjectStore, name: str, keys: list[str]) -> Iterator[str]:
    if not objects.exists(f"models/{name}/{CARD}"):
        return
    try:
        card = load_card(objects, name)
        yield f"models/{name}/{CARD}"
        yield from (file_key(card, file) for file in card.files)
        yield from (f"spaces/{space}.json" for space in card.views)
    except Exception:  # whatever is wrong with it
        yield from (*_under(keys, f"models/{name}"), *_under(keys, "spaces"))


def _by_log(objects: ObjectStore, name: str, keys: list[str]) -> Iterator[str]:
    try:
        newest = newest_version(objects, name)
        for number in range(1, newest.number + 1 if newest else 1):
            version = read(objects, name, number)
            yield f"galleries/{name}/files/{version.files}.json"
            yield f"spaces/{version.space}.json"
    except Exception:  # whatever is wrong with it
        yield from (*_under(keys, f"galleries/{name}"), *_under(keys, "spaces"))


def _earlier(objects: ObjectStore, kept: list[str]) -> Iterator[str]:
    """The spaces that these have views onto: their models' bundles may be gone."""
    for key in kept:
        try:
            views = load_space(objects, key.removeprefix("spaces/").removesuffix(".json")).views
            yield from (f"spaces/{name}.json" for name in views)
        except Exception:  # whatever is wrong with it, or a model's own space without a gallery
            continue


def _children(keys: list[str], folder: str) -> list[str]:
    return sorted({key.removeprefix(f"{folder}/").split("/")[0] for key in _under(keys, folder)})


def _under(keys: list[str], folder: str) -> list[str]:
    return [key for key in keys if key.startswith(f"{folder}/")]
