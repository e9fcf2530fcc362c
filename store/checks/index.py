"""The index of checks: of each model on each state of a gallery, its checks in the order in which they were saved.

Entries are numbered by put-if-absent: their order is that of the numbers, whatever the clocks of the writers say. They
are small, and whoever wants the checks of one model on one state reads only these.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from skipfill.store.checks.policy import Policy, policy_of
from skipfill.store.checks.queries import Queries
from skipfill.store.checks.report import Report
from skipfill.store.checks.requirement import Verdict
from skipfill.store.errors import BadInput, unknown_name
from skipfill.store.storage.layout import by_state_folder, index_folder, index_key, states_of, version_number
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.strict_json import stored

FORMAT = 1
RESTORE = "Restore it from a copy."
ROUND = 100
LIMITED = 5
"""Format of reports from which on a policy limits how many queries are left out."""


@dataclass(frozen=True)
class CheckEntry:
    """A check in short: everything that a swap asks of it.

    Attributes:
        check: its id.
        version: number of the gallery's version that it measured.
        policy: under which it was judged.
        truth: what made rows relevant.
        judged: names of the slices of which something was required.
        queries: digest of what was asked.
        instead_of: ids of failed checks on other queries that this one stands in for, because of `reason`.
        created: by the clock of its writer; for people, not for the order.
        earlier: in every hundredth entry all before it, in their order, so that few are read. Of checks that differ
            in nothing but their time only the last one: it allows, and speaks against, what the others do.
    """

    check: str
    version: int
    verdict: Verdict
    policy: Policy
    truth: str
    judged: tuple[str, ...]
    queries: Queries
    instead_of: tuple[str, ...]
    reason: str
    created: str
    earlier: tuple[CheckEntry, ...] = ()
    format: int = field(default=FORMAT)


def entry_of(report: Report) -> CheckEntry:
    """The entry of a report."""
    judged = tuple(part.name for part in report.slices if part.requirements)
    return CheckEntry(
        check=report.id,
        version=report.version,
        verdict=report.verdict,
        policy=policy_of(report.policy, f"check {report.id}", limited=report.format >= LIMITED),
        truth=report.truth,
        judged=judged,
        queries=report.queries,
        instead_of=tuple(report.instead_of),
        reason=report.reason,
        created=report.created,
    )


def add_entry(objects: ObjectStore, report: Report) -> None:
    """Write the entry of a saved report, with the next number that is free."""
    entry, index = entry_of(report), CheckIndex(objects, report.gallery)
    folder = index_folder(report.gallery, report.state, report.fingerprint)
    number = max([0, *map(version_number, objects.after(folder, ""))]) + 1
    while True:
        if number % ROUND == 0:
            entry = replace(entry, earlier=_last_of_equals(index.entries(report.state, report.fingerprint)))
        data = json.dumps(asdict(entry), indent=1).encode()
        if objects.put_new(index_key(report.gallery, report.state, report.fingerprint, number), data):
            return
        number, entry = number + 1, replace(entry, earlier=())


def _last_of_equals(entries: Sequence[CheckEntry]) -> tuple[CheckEntry, ...]:
    last = {replace(entry, check="", version=0, created="", earlier=()): entry for entry in entries}
    kept = {entry.check for entry in last.values()}
    return tuple(entry for entry in entries if entry.check in kept)


class CheckIndex:
    """The index of a gallery's checks. Entries are immutable: each is read once, when it is needed."""

    def __init__(self, objects: ObjectStore, gallery: str) -> None:
        self._objects = objects
        self._gallery = gallery
        self._read: dict[str, CheckEntry] = {}

    def entries(self, state: str, fingerprint: str) -> list[CheckEntry]:
        """The checks of a model on a state, in the order in which they were saved. Lists them anew.

        Raises:
            BadInput: an entry is damaged, missing, or of a newer format.
        """
        folder = index_folder(self._gallery, state, fingerprint)
        numbers = sorted(filter(None, map(version_number, self._objects.after(folder, ""))))
        first = max((number for number in numbers if number % ROUND == 0), default=0)
        if numbers and numbers[numbers.index(first) if first else 0 :] != [*range(first or 1, numbers[-1] + 1)]:
            raise BadInput(
                self._objects.root / folder,
                expected="an entry of every check",
                found="one missing: its verdict is not known",
                hint=RESTORE,
            )
        keys = [index_key(self._gallery, state, fingerprint, number) for number in numbers if number >= first]
        missing = [key for key in keys if key not in self._read]
        self._read |= zip(missing, read_entries(self._objects, missing), strict=True)
        entries = [self._read[key] for key in keys]
        return [*(entries[0].earlier if entries else ()), *(replace(entry, earlier=()) for entry in entries)]


def newest_elsewhere(objects: ObjectStore, gallery: str, fingerprint: str) -> CheckEntry | None:
    """The newest check of a model on the latest version that it was measured on, whatever the state."""
    newest: CheckEntry | None = None
    for state in states_of(objects.children(by_state_folder(gallery)), fingerprint):
        last = max(map(version_number, objects.after(index_folder(gallery, state, fingerprint), "")), default=0)
        if last:
            entry = read_entry(objects, index_key(gallery, state, fingerprint, last))
            newest = entry if newest is None or entry.version > newest.version else newest
    return newest


def index_keys(objects: ObjectStore, gallery: str) -> list[str]:
    """Keys of all entries of a gallery's index, by one listing."""
    return [entry.key for entry in objects.entries(by_state_folder(gallery)) if not entry.unfinished]


def read_entries(objects: ObjectStore, keys: Sequence[str]) -> list[CheckEntry]:
    """The entries with these keys.

    Raises:
        BadInput: one is damaged, or of a newer format.
    """
    return objects.read_all(lambda key: read_entry(objects, key), keys)


def refuse_unknown_checks(
    objects: ObjectStore, gallery: str, state: str, fingerprint: str, checks: Sequence[str]
) -> None:
    """Raise `BadInput` where one of these is no check of the model on the state."""
    known = [entry.check for entry in CheckIndex(objects, gallery).entries(state, fingerprint)] if checks else []
    for check in checks:
        if check not in known:
            raise unknown_name("check of this model on the gallery as it is now", check, known)


def read_entry(objects: ObjectStore, key: str) -> CheckEntry:
    """The entry with this key: see `read_entries`."""
    where = objects.root / key
    try:
        return stored(CheckEntry, objects.get(key), where, what="check entry", newest=FORMAT)
    except FileNotFoundError:
        raise BadInput(where, expected="an entry of a check", found="no such file") from None
