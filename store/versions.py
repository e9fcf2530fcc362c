"""A gallery's append-only log. The highest number is the truth; a change is one put-if-absent of the next."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from skipfill.store.checks import Threshold, threshold
from skipfill.store.errors import BadInput, Stale, unknown_name
from skipfill.store.names import valid_name
from skipfill.store.objects import Objects

FORMAT = 1
Action = Literal["registered", "swapped", "rolled back", "dropped"]


@dataclass(frozen=True)
class View:
    """A named map from a model's space onto an earlier space: keep the first `dim` coordinates, renormalise.

    `dim` equal to the model's own dimension is the identity.
    """

    dim: int
    kind: Literal["prefix"] = "prefix"

    def then(self, onward: View) -> View:
        """The view onto an earlier space by way of this one's."""
        return View(min(self.dim, onward.dim))


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
    format: int = field(default=FORMAT)

    @property
    def state(self) -> str:
        """Digest of what a check measures: rows, space and release. Equal after a rollback, unlike `number`."""
        release = None if self.release is None else [self.release.model, self.release.fingerprint]
        content = json.dumps([self.files, self.space, self.columns, release])
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def _folder(gallery: str) -> str:
    return f"galleries/{valid_name('gallery', gallery)}/versions"


def gallery_names(objects: Objects) -> list[str]:
    """Names of the galleries in force: neither dropped, nor killed before the first version was written."""
    newest = {name: newest_version(objects, name) for name in objects.children("galleries")}
    return [name for name, version in newest.items() if version is not None and version.action != "dropped"]


def newest_version(objects: Objects, gallery: str) -> Version | None:
    """The last entry of the log, a drop as well; None when there is no log."""
    numbers = objects.children(_folder(gallery))
    return read(objects, gallery, int(numbers[-1].removesuffix(".json"))) if numbers else None


def latest(objects: Objects, gallery: str) -> Version:
    """The version in force. Lists the log's names and reads one entry.

    Raises:
        BadInput: no gallery of this name.
        Stale: it was dropped.
    """
    version = _known(objects, gallery)
    if version.action == "dropped":
        raise Stale(
            f"gallery {gallery}: was dropped by {version.by} at {version.at} (version {version.number})",
            f"See: skipfill history {gallery}. Register it again with: skipfill gallery add {gallery} FILES...",
        )
    return version


def _known(objects: Objects, gallery: str) -> Version:
    version = newest_version(objects, gallery)
    if version is None:
        hint = f"Register it with: skipfill gallery add {gallery} FILES... --space NAME"
        raise unknown_name("gallery", gallery, gallery_names(objects), hint)
    return version


def read(objects: Objects, gallery: str, number: int) -> Version:
    """Entry `number` of the log."""
    key = f"{_folder(gallery)}/{number:010d}.json"
    try:
        raw: dict[str, Any] = json.loads(objects.get(key))
    except ValueError as error:
        raise BadInput(
            objects.root / key, expected="a version in JSON", found=str(error), hint="Restore it from a copy."
        ) from error
    if raw.get("format", 0) > FORMAT:
        raise BadInput(
            objects.root / key,
            expected=f"version format {FORMAT} or older",
            found=f"format {raw['format']}",
            hint="Upgrade skipfill: a newer release wrote this.",
        )
    if raw["release"] is not None:
        release = raw["release"]
        thresholds = [threshold(one) for one in release.get("thresholds", [])]
        raw["release"] = Release(**{**release, "view": View(**release["view"]), "thresholds": thresholds})
    return Version(**raw)


def history(objects: Objects, gallery: str) -> list[Version]:
    """Every entry of the log, oldest first; of a dropped gallery too."""
    return [read(objects, gallery, number) for number in range(1, _known(objects, gallery).number + 1)]


def _user() -> str:
    """Who writes: containers often run under a number that has no name."""
    try:
        return os.environ.get("USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def commit(objects: Objects, gallery: str, version: Version) -> Version:
    """Append `version` to the log: the one write that decides anything.

    Raises:
        Stale: another writer appended this number first. Nothing was changed.
    """
    signed = replace(
        version,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        by=_user(),
        commit=uuid4().hex,
    )
    data = json.dumps(asdict(signed), indent=1).encode()
    if not objects.put_new(f"{_folder(gallery)}/{version.number:010d}.json", data):
        other = read(objects, gallery, version.number)
        raise Stale(
            f"gallery {gallery}: another change was first: version {other.number} was {other.action} by {other.by} "
            f"at {other.at}",
            f"Look at it with: skipfill history {gallery}",
        )
    return signed
