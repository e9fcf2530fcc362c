"""Check reports in the store: saved, loaded, and the newest one of a model on a state of a gallery."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from skipfill.store.checks.report import FORMAT, Flips, Report, Slice
from skipfill.store.checks.requirement import Claim, Kind, Requirement
from skipfill.store.errors import BadInput, unknown_name
from skipfill.store.storage.layout import check_of_report, checks_folder, per_query_key, report_key
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.strict_json import LARGEST_STORED, Older, fitted, json_digest, parsed, refuse_newer

_OLD_CLAIM = re.compile(r"(better|not worse) than (\S+)(?: by \S+)? in (.+)|fewer than \S+ of queries .+")


def _part(name: str) -> Callable[[dict[str, Any]], Any]:
    """Read a part of a requirement off its sentence, which is all that reports before format 4 have."""

    def read(requirement: dict[str, Any]) -> Any:
        match = _OLD_CLAIM.fullmatch(requirement["claim"])
        if match is None:
            raise BadInput("claim", expected="one that a release made", found=repr(requirement["claim"]))
        if match[1] is None:
            return getattr(Claim("flip-budget", "", "CMC@1", requirement["bar"]), name)
        kind: Kind = "better" if match[1] == "better" else "not-worse"
        return getattr(Claim(kind, match[2], match[3], requirement["bar"]), name)

    return read


OLDER: Older = {
    # Format 1 had no ground truth but labels.
    Report: {
        "truth": lambda read: "labels",
        "flips": lambda read: Flips([], []),
        "scores": lambda read: [],
    },
    Slice: {"units": lambda read: read["queries"], "requirements": lambda read: []},
    Requirement: {name: _part(name) for name in ("kind", "base", "metric")},
}
"""What reports of older formats did not say."""


def save_report(objects: ObjectStore, report: Report, per_query: pa.Table) -> Report:
    """Write the per-query table and then the report; its id is the digest of its content."""
    complete = replace(report, id=_digest(asdict(report)))
    buffer = io.BytesIO()
    pq.write_table(per_query, buffer, compression="zstd")
    objects.put_new(per_query_key(report.gallery, complete.id), buffer.getvalue())
    objects.put_new(report_key(report.gallery, complete.id), json.dumps(asdict(complete), indent=1).encode())
    return complete


def load_report(objects: ObjectStore, gallery: str, check: str) -> Report:
    """Read the report of a check by its id.

    Raises:
        BadInput: no such check, a newer format, or a report that was edited.
    """
    key = report_key(gallery, check)
    where = objects.root / key
    try:
        raw = parsed(objects.get(key), where, LARGEST_STORED)
    except FileNotFoundError:
        raise unknown_name("check", check, check_ids(objects, gallery)) from None
    refuse_newer(raw, where, "report", FORMAT)
    report = fitted(Report, raw, where, OLDER)
    # The digest is that of the file, without what `OLDER` adds.
    if not report.id == check == _digest({**raw, "id": ""}):
        raise BadInput(where, expected="the report as it was saved", found="another, or one that was edited")
    return report


def check_ids(objects: ObjectStore, gallery: str) -> list[str]:
    """Ids of the complete checks of a gallery, by one listing: those that have a report."""
    checks = [check_of_report(entry.key) for entry in objects.entries(checks_folder(gallery)) if not entry.unfinished]
    return sorted(filter(None, checks))


class Checks:
    """The complete checks of a gallery. Reports are immutable: each is read and verified once, when it is needed."""

    def __init__(self, objects: ObjectStore, gallery: str) -> None:
        self._objects = objects
        self._gallery = gallery
        self._reports: dict[str, Report] = {}

    def report(self, check: str) -> Report:
        """The report of a check: see `load_report`."""
        if check not in self._reports:
            self._reports[check] = load_report(self._objects, self._gallery, check)
        return self._reports[check]

    def newest(self, fingerprint: str, state: str) -> Report | None:
        """The newest check of this very model on this very state of the gallery, or None. Lists the checks anew.

        It alone speaks for the model: an older pass does not outlive a newer fail.
        """
        reports = map(self.report, check_ids(self._objects, self._gallery))
        of_model = [report for report in reports if (report.fingerprint, report.state) == (fingerprint, state)]
        return max(of_model, key=lambda report: report.created, default=None)


def _digest(content: dict[str, Any]) -> str:
    return json_digest(content, sort_keys=False)[:12]
