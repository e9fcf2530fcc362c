"""The index of checks: those of each model on each state of a gallery's rows, in the order they were saved.

The state of the rows leaves out the release: evidence against a model counts whichever model queries use.
Entries are numbered by put-if-absent: the numbers give their order, not the writers' clocks. They are small, and a
reader of one model's checks on the same rows reads only these. Every tenth file also holds the nine entries before it,
every hundredth 99 and every thousandth 999: of about a thousand files a reader opens about thirty.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from skipfill.store.checks.entry import CheckEntry, EntryColumns, entry_of
from skipfill.store.checks.policy import Policy
from skipfill.store.checks.report import Report
from skipfill.store.checks.standing import Standing, standing
from skipfill.store.errors import BadInput, in_the_store, unknown_name
from skipfill.store.storage.layout import by_state_folder, index_folder, index_key, states_of
from skipfill.store.storage.numbered import last_number
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.strict_json import stored

FORMAT = 1
RESTORE = "Restore it from a copy."
SPANS = (1000, 100, 10)
"""A file whose number is a multiple of one of these has that many entries, its own the last: a reader of a long index
reads few files. Of several, the largest counts."""


@dataclass(frozen=True)
class IndexFile:
    """A file of the index.

    Attributes:
        entry: the entry with the file's number.
        before: the entries just before it; the number tells how many: see `span`.
    """

    entry: CheckEntry
    before: EntryColumns = EntryColumns()
    format: int = field(default=FORMAT)


def span(number: int) -> int:
    """The number of entries in the file of a number: its own, and those before it."""
    return next((size for size in SPANS if number % size == 0), 1)


def add_entry(objects: ObjectStore, report: Report) -> None:
    """Write the entry of a saved report, under the next free number."""
    entry, index = entry_of(report), CheckIndex(objects, report.gallery)
    number = last_number(objects, index_folder(report.gallery, report.rows_state, report.fingerprint)) + 1
    while True:
        before = index.entries(report.rows_state, report.fingerprint, number - 1, span(number) - 1)
        data = json.dumps(asdict(IndexFile(entry, EntryColumns.of(before)))).encode()
        if objects.put_new(index_key(report.gallery, report.rows_state, report.fingerprint, number), data):
            return
        number += 1


class CheckIndex:
    """The index of a gallery's checks. Its files are immutable: each is read once, when it is needed."""

    def __init__(self, objects: ObjectStore, gallery: str) -> None:
        self._objects = objects
        self._gallery = gallery
        self._read: dict[str, list[CheckEntry]] = {}
        self._last: dict[str, int] = {}
        self._standings: dict[tuple[str, str, Policy, str, int], Standing] = {}

    def standing(self, rows_state: str, fingerprint: str, policy: Policy, state: str) -> Standing | None:
        """The joint result of a model's checks on a gallery's rows, for a state with these rows; None for no check.

        Decided again when there are new checks.

        Raises:
            BadInput: see `of`.
        """
        entries = self.of(rows_state, fingerprint)
        decided = rows_state, fingerprint, policy, state, len(entries)
        if entries and decided not in self._standings:
            self._standings[decided] = standing(entries, policy, state)
        return self._standings.get(decided)

    def of(self, rows_state: str, fingerprint: str) -> list[CheckEntry]:
        """The checks of a model on the gallery's rows, in the order they were saved. Looks for new ones each time.

        Raises:
            BadInput: an entry is damaged, missing, or of a newer format.
        """
        folder = index_folder(self._gallery, rows_state, fingerprint)
        self._last[folder] = last_number(self._objects, folder, self._last.get(folder, 0))
        return self.entries(rows_state, fingerprint, self._last[folder], self._last[folder])

    def entries(self, rows_state: str, fingerprint: str, last: int, count: int) -> list[CheckEntry]:
        """The entries of `count` numbers up to `last`, in their order: see `of`."""
        first, numbers = last - count + 1, []
        while last >= first:
            numbers.append(last)
            last -= span(last)
        keys = {index_key(self._gallery, rows_state, fingerprint, number): number for number in reversed(numbers)}
        unread = [key for key in keys if key not in self._read]
        for key, file in zip(unread, read_index_files(self._objects, unread), strict=True):
            entries = [*file.before.entries(), file.entry]
            if len(entries) != span(keys[key]):
                raise _missing(self._objects.root / key)
            self._read[key] = entries
        return [entry for key in keys for entry in self._read[key]]


def newest_elsewhere(objects: ObjectStore, gallery: str, fingerprint: str) -> CheckEntry | None:
    """The newest check of a model on the latest version that it was measured on, whatever the state."""
    newest: CheckEntry | None = None
    for rows_state in states_of(objects.children(by_state_folder(gallery)), fingerprint):
        last = last_number(objects, index_folder(gallery, rows_state, fingerprint))
        if last:
            entry = read_index_file(objects, index_key(gallery, rows_state, fingerprint, last)).entry
            newest = entry if newest is None or entry.version > newest.version else newest
    return newest


def index_keys(objects: ObjectStore, gallery: str) -> list[str]:
    """Keys of all files of a gallery's index, by one listing."""
    return [entry.key for entry in objects.entries(by_state_folder(gallery)) if not entry.unfinished]


def refuse_unknown_checks(
    objects: ObjectStore, gallery: str, rows_state: str, fingerprint: str, checks: Sequence[str]
) -> None:
    """Raise `BadInput` unless all of these are checks of the model on the rows."""
    known = [entry.check for entry in CheckIndex(objects, gallery).of(rows_state, fingerprint)] if checks else []
    for check in checks:
        if check not in known:
            raise unknown_name("check of this model on the gallery as it is now", check, known)


def read_index_files(objects: ObjectStore, keys: Sequence[str]) -> list[IndexFile]:
    """The files of the index with these keys: see `read_index_file`."""
    return objects.read_all(lambda key: read_index_file(objects, key), keys)


def read_index_file(objects: ObjectStore, key: str) -> IndexFile:
    """The file of the index with this key.

    Raises:
        BadInput: it is damaged, missing, or of a newer format.
    """
    where = objects.root / key
    try:
        with in_the_store():
            return stored(IndexFile, objects.get(key), where, what="check entry", newest=FORMAT)
    except FileNotFoundError:
        raise _missing(where) from None


def _missing(where: object) -> BadInput:
    found = "one missing: the verdict of its check is not known"
    return BadInput(where, expected="an entry of every check", found=found, hint=RESTORE)
