"""A gallery's append-only log of numbered versions. The highest is in force, and a change appends the next one.

The object store creates a key only if it is absent, so of two writers of the same number one is refused.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from typing import Any, Literal

from skipfill.store.checks.policy import Policy
from skipfill.store.checks.reranking import without_unused
from skipfill.store.errors import Advice, BadInput, SkipfillError, Stale, in_the_store, minute
from skipfill.store.models.release import Release
from skipfill.store.parquet.stored_rows import VECTOR_TYPE
from skipfill.store.storage.layout import GALLERIES, log_folder, version_key
from skipfill.store.storage.numbered import last_number
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.strict_json import json_digest, stored

WITHOUT_POLICY, WITH_POLICY, WITH_MAP, WITH_RERANKING, FORMAT = 1, 2, 3, 4, 5
"""Formats of a version. Each is written only for versions that need it, so that older releases can read all others:
2 for a policy, 3 for a view that is not a prefix, 4 for a release that re-ranks, 5 for a declared type of vectors."""
RESTORE = "Restore it from a copy."
MOST_NAMED = 8
"""Most galleries that are named in the error for an unknown one."""
Action = Literal["registered", "appended", "refreshed", "swapped", "rolled back", "dropped", "policy changed"]
BRINGING: tuple[Action, ...] = ("registered", "swapped")
"""Actions that bring a new release."""
RELEASES: tuple[Action, ...] = (*BRINGING, "rolled back", "dropped")
"""Actions that change the release: those that bring a new one, bring one back, or end it."""


@dataclass(frozen=True)
class Since:
    """The version that brought a release: its number, when it was written, and by whom."""

    number: int
    at: str
    by: str


@dataclass(frozen=True)
class Version:
    """One entry of the log: the state of the gallery after a change, and the change.

    Attributes:
        number: 1, 2, 3, ... without gaps.
        action: the change.
        files: digest that names the immutable file list (paths and fingerprints), which a swap does not repeat.
        rows: number of rows in those files.
        space: name of the space that the stored vectors are in.
        columns: names of the columns id, vector and label (the last may be empty), and declared types, see
            `Columns.as_dict`.
        release: the model that queries use, and how; None while no model serves them.
        undo: number of the version whose release a rollback brings back; 0 when there is none.
        at, by: time (UTC, ISO 8601) and user of the change; empty before it is committed.
        reason: reason that the user gave.
        commit: id of the attempt to write it, by which a writer recognises its own version.
        plan: id of the plan that a swap applied; empty for other actions, and in old files.
        since: the version that brought the release; None before it is committed.
        policy: the requirements that a model must meet to be released, carried on like the release; None for the
            defaults.
    """

    number: int
    action: Action
    files: str
    rows: int
    space: str
    columns: dict[str, str]
    release: Release | None = None
    undo: int = 0
    at: str = ""
    by: str = ""
    reason: str = ""
    commit: str = ""
    plan: str = ""
    since: Since | None = None
    format: int = field(default=WITHOUT_POLICY)
    policy: Policy | None = None

    @property
    def policy_in_force(self) -> Policy:
        """Its policy, or the defaults."""
        return self.policy or Policy()

    @property
    def queries_use(self) -> str:
        """The model that queries use, and how, in words; without a release, the encoder of the stored vectors."""
        return self.space if self.release is None else str(self.release)

    @property
    def released_at(self) -> int:
        """Number of the version that brought its release, which may be this one."""
        return self.since.number if self.since else self.number

    def as_document(self) -> dict[str, Any]:
        """The version as JSON values, with the fields of its format."""
        content = asdict(self)
        if self.format < WITH_POLICY:
            del content["policy"]
        if content["release"] is not None:
            content["release"] = without_unused(content["release"], "rerank")
        return content

    @property
    def needed_format(self) -> int:
        """The oldest format that can hold the version."""
        if VECTOR_TYPE in self.columns:
            return FORMAT
        if self.release is not None and self.release.rerank is not None:
            return WITH_RERANKING
        if self.release is not None and self.release.view.kind != "prefix":
            return WITH_MAP
        return WITHOUT_POLICY if self.policy is None else WITH_POLICY

    @property
    def state(self) -> str:
        """Digest of all that a check measures: rows, space and release. A rollback brings it back, unlike `number`."""
        release = None if self.release is None else [self.release.model, self.release.way]
        return self._digest(release)

    @property
    def rows_state(self) -> str:
        """Digest of rows and space: equal for all versions of the same rows, whatever the release."""
        return self._digest()

    def _digest(self, *release: list[str] | None) -> str:
        return json_digest([self.files, self.space, self.columns, *release], sort_keys=False)[:16]


def newest_version(objects: ObjectStore, gallery: str, since: int = 0) -> Version | None:
    """Return the last entry of the log, which may be a drop; None where there is no log.

    Reads one entry and lists the names of about 100, however long the log is.

    Args:
        since: number of an entry that is known to exist; only later ones are looked for.
    """
    number = last_number(objects, log_folder(gallery), since)
    return read_version(objects, gallery, number) if number else None


def read_version(objects: ObjectStore, gallery: str, number: int) -> Version:
    """Return entry `number` of the log.

    Raises:
        BadInput: it is missing or damaged, or of a newer format.
    """
    key = version_key(gallery, number)
    where = objects.root / key
    try:
        with in_the_store():
            version = stored(Version, objects.get(key), where, what="version", newest=FORMAT)
    except FileNotFoundError:
        raise BadInput(where, expected="every version of the log", found="no such file", hint=RESTORE) from None
    if version.number != number or not 0 <= version.undo < number:
        found = f"version {version.number} (undo {version.undo})"
        raise BadInput(where, expected=f"version {number}", found=found, hint=RESTORE)
    # Older versions of skipfill did not write `since`, and each of their actions brought a release of its own.
    return replace(version, since=version.since or Since(version.number, version.at, version.by))


def has_version(objects: ObjectStore, gallery: str, number: int) -> bool:
    """Tell whether the log has an entry of this number."""
    return objects.exists(version_key(gallery, number))


def latest(objects: ObjectStore, gallery: str, since: int = 0) -> Version:
    """Return the version in force. See `newest_version` for `since`.

    Raises:
        BadInput: no gallery of this name.
        Stale: the gallery was dropped.
    """
    version = _last_entry(objects, gallery, since)
    if version.action == "dropped":
        raise Stale(
            f"gallery {gallery} was dropped by {version.by} at {minute(version.at)} (version {version.number})",
            Advice("register_again", gallery=gallery),
        )
    return version


def history(objects: ObjectStore, gallery: str) -> list[Version]:
    """Return every entry of the log, oldest first, also of a dropped gallery."""
    return [read_version(objects, gallery, number) for number in range(1, _last_entry(objects, gallery).number + 1)]


def _last_entry(objects: ObjectStore, gallery: str, since: int = 0) -> Version:
    version = newest_version(objects, gallery, since)
    if version is None:
        raise _unknown(objects, gallery)
    return version


def _unknown(objects: ObjectStore, gallery: str) -> BadInput:
    """The error for a gallery that a store does not have: it may be the wrong store."""
    names = gallery_names(objects)
    if not names:
        expected = f"a known gallery of store {objects.root}, which has none"
        return BadInput("gallery", expected=expected, found=repr(gallery), hint=Advice("right_store", gallery=gallery))
    near = get_close_matches(gallery, names, n=MOST_NAMED, cutoff=0)
    shown = ", ".join(near) + (", ..." if len(names) > len(near) else "")
    expected = f"a known gallery of store {objects.root} ({shown})"
    return BadInput("gallery", expected=expected, found=repr(gallery), hint=Advice("another_store"))


@dataclass(frozen=True)
class NewestVersions:
    """The galleries of a store.

    Attributes:
        in_force: gallery -> its newest version; dropped galleries are left out.
        faults: gallery -> the reason why its newest version cannot be read.
    """

    in_force: dict[str, Version]
    faults: dict[str, SkipfillError]


def newest_versions(objects: ObjectStore) -> NewestVersions:
    """The newest version of every gallery, by name. The fault of one does not hide the others."""
    names = objects.children(GALLERIES)
    entries = dict(zip(names, objects.read_all(lambda name: _newest_or_fault(objects, name), names), strict=True))
    versions = {name: entry for name, entry in entries.items() if isinstance(entry, Version)}
    return NewestVersions(
        {name: version for name, version in versions.items() if version.action != "dropped"},
        {name: entry for name, entry in entries.items() if isinstance(entry, SkipfillError)},
    )


def _newest_or_fault(objects: ObjectStore, name: str) -> Version | SkipfillError | None:
    try:
        return newest_version(objects, name)
    except SkipfillError as fault:
        return fault


def gallery_names(objects: ObjectStore) -> list[str]:
    """Names of the galleries in force."""
    return list(newest_versions(objects).in_force)


def galleries_of(objects: ObjectStore, space: str) -> list[str]:
    """Names of the galleries in force whose vectors are in a space."""
    return [name for name, version in newest_versions(objects).in_force.items() if version.space == space]
