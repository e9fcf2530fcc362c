"""A gallery's append-only log. The highest number is the truth; a change is one put-if-absent of the next."""

from __future__ import annotations

import getpass
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal
from uuid import uuid4

from skipfill.store.checks.report import Threshold
from skipfill.store.errors import BadInput, SkipfillError, Stale, unknown_name
from skipfill.store.spaces import View
from skipfill.store.storage.keys import (
    GALLERIES,
    log_folder,
    release_copy_key,
    version_file,
    version_key,
    version_number,
)
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.strict_json import json_digest, stored

FORMAT = 1
NEAR = 100  # where the end is as near as this, names are listed instead of looked for one by one
Action = Literal["registered", "appended", "swapped", "rolled back", "dropped"]
RELEASES: tuple[Action, ...] = ("registered", "swapped", "rolled back", "dropped")  # others leave the release alone


@dataclass(frozen=True)
class Release:
    """What queries use now.

    Attributes:
        model: name of the model that encodes queries.
        fingerprint: of that model, so that another model under the same name is noticed.
        view: from the model's space onto the gallery's.
        check: id of the check that allowed it; empty for the space's own model or a forced swap.
        without_check: the reason given for swapping without one.
        thresholds: cut-offs for this model's scores, as that check transferred them; empty in old files.
    """

    model: str
    fingerprint: str
    view: View
    check: str = ""
    without_check: str = ""
    thresholds: list[Threshold] = field(default_factory=list)


@dataclass(frozen=True)
class Since:
    """The version that brought a release: its number, when it was written, and by whom."""

    number: int
    at: str
    by: str


@dataclass(frozen=True)
class Version:
    """One entry of the log: everything that readers need, and what happened.

    Attributes:
        number: 1, 2, 3, ... without holes.
        files: key of the immutable file list (paths and fingerprints): a swap does not repeat it.
        rows: rows in those files.
        space: name of the space the stored vectors live in.
        columns: names of the id, vector and (or empty) label column.
        release: what queries use; None while no model serves them.
        undo: number of the version whose release a rollback brings back; 0 when there is none.
        commit: unique per attempt to write, so that a writer can recognise its own.
        plan: id of the plan that a swap applied; empty for other actions, and in old files.
        since: what brought the release; None before it is written.
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
    format: int = field(default=FORMAT)

    @property
    def state(self) -> str:
        """Digest of what a check measures: rows, space and release. Equal after a rollback, unlike `number`."""
        release = None if self.release is None else [self.release.model, self.release.fingerprint]
        return json_digest([self.files, self.space, self.columns, release], sort_keys=False)[:16]


def gallery_names(objects: ObjectStore) -> list[str]:
    """Names of the galleries in force: neither dropped, nor killed before the first version was written."""
    newest = {name: newest_version(objects, name) for name in objects.children(GALLERIES)}
    return [name for name, version in newest.items() if version is not None and version.action != "dropped"]


def has_version(objects: ObjectStore, gallery: str, number: int) -> bool:
    return objects.exists(version_key(gallery, number))


def newest_version(objects: ObjectStore, gallery: str, since: int = 0) -> Version | None:
    """The last entry of the log, a drop as well; None when there is no log.

    Reads one entry, and names of at most about 100, however long the log is.

    Args:
        since: a number that is known to be in the log, to look only at what came after it.
    """
    low = since or _near_the_end(objects, gallery)
    files = objects.after(log_folder(gallery), version_file(low))
    number = max([low, *map(version_number, files)])
    return read(objects, gallery, number) if number else None


def latest(objects: ObjectStore, gallery: str, since: int = 0) -> Version:
    """The version in force: see `newest_version`.

    Raises:
        BadInput: no gallery of this name.
        Stale: it was dropped.
    """
    version = _known(objects, gallery, since)
    if version.action == "dropped":
        raise Stale(
            f"gallery {gallery}: was dropped by {version.by} at {version.at} (version {version.number})",
            f"See: skipfill history {gallery}. Register it again with: skipfill gallery add {gallery} FILES...",
        )
    return version


def _known(objects: ObjectStore, gallery: str, since: int = 0) -> Version:
    version = newest_version(objects, gallery, since)
    if version is None:
        hint = f"Register it with: skipfill gallery add {gallery} FILES... --space NAME"
        raise unknown_name("gallery", gallery, gallery_names(objects), hint)
    return version


def _near_the_end(objects: ObjectStore, gallery: str) -> int:
    """A number in the log, less than `NEAR` from its end; 0 where the log is shorter than that.

    Numbers have no holes, so leaps find it. After a hole it is farther from the end, and the listing longer.
    """
    low, step = 0, NEAR
    while objects.exists(version_key(gallery, low + step)):
        low, step = low + step, 2 * step
    while step > NEAR:
        step //= 2
        low += step if objects.exists(version_key(gallery, low + step)) else 0
    return low


def read(objects: ObjectStore, gallery: str, number: int) -> Version:
    """Entry `number` of the log."""
    key = version_key(gallery, number)
    where = objects.root / key
    try:
        version = stored(Version, objects.get(key), where, what="version", newest=FORMAT)
    except FileNotFoundError:
        raise BadInput(
            where, expected="every version of the log", found="no such file", hint="Restore it from a copy."
        ) from None
    if version.number != number or not 0 <= version.undo < number:
        raise BadInput(
            where,
            expected=f"version {number}",
            found=f"version {version.number} (undo {version.undo})",
            hint="Restore it from a copy.",
        )
    # Files that do not say it are older than any action that leaves the release as it is.
    return replace(version, since=version.since or Since(version.number, version.at, version.by))


def history(objects: ObjectStore, gallery: str) -> list[Version]:
    """Every entry of the log, oldest first; of a dropped gallery too."""
    return [read(objects, gallery, number) for number in range(1, _known(objects, gallery).number + 1)]


def _user() -> str:
    """Who writes: containers often run under a number that has no name."""
    try:
        return os.environ.get("USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def commit(objects: ObjectStore, gallery: str, version: Version) -> Version:
    """Append `version` to the log: the one write that decides anything. Then `release.json` follows.

    Raises:
        Stale: another writer appended this number first. Nothing was changed.
    """
    signed = replace(
        version,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        by=_user(),
        commit=uuid4().hex,
    )
    if version.action in RELEASES:
        signed = replace(signed, since=Since(signed.number, signed.at, signed.by))
    data = json.dumps(asdict(signed), indent=1).encode()
    if not objects.put_new(version_key(gallery, version.number), data):
        other = read(objects, gallery, version.number)
        raise Stale(
            f"gallery {gallery}: another change was first: version {other.number} was {other.action} by {other.by} "
            f"at {other.at}",
            f"Look at it with: skipfill history {gallery}",
        )
    _announce(objects, gallery, signed)
    return signed


def _announce(objects: ObjectStore, gallery: str, version: Version) -> None:
    """Replace `galleries/NAME/release.json`, a copy of the newest version for services that read one file.

    The log is the truth: the copy lags after a kill between the two writes, or where it cannot be written, until the
    next commit. A failure here is none of the commit, which has landed.
    """
    with suppress(SkipfillError, OSError):
        while True:
            document = {"format": FORMAT, "gallery": gallery, "version": asdict(version)}
            objects.replace(release_copy_key(gallery), json.dumps(document, indent=1).encode())
            written = version.number
            while has_version(objects, gallery, version.number + 1):  # of others, whose copies may have been first
                version = read(objects, gallery, version.number + 1)
            if version.number == written:
                return
