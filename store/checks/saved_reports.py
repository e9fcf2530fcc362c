"""Check reports in the store: saved and loaded, those of older formats too."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from skipfill.store.checks.index import add_entry, index_keys, read_index_files
from skipfill.store.checks.report import FORMAT, Flips, Report, Slice
from skipfill.store.checks.requirement import Claim, Kind, Requirement
from skipfill.store.checks.reranking import without_unused
from skipfill.store.errors import Advice, BadInput, in_the_store, reason, unknown_name
from skipfill.store.storage.layout import check_of_report, checks_folder, per_query_key, report_key
from skipfill.store.storage.new_name import tried_in
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.strict_json import LARGEST_STORED, Older, fitted, json_digest, parsed, refuse_newer

INDEXED = 5
"""First format whose reports are in the index."""
OLD_ID, NEW_ID = 12, 16
"""Lengths of the ids of reports before format 5 and of today's."""
_OLD = re.compile(rf"[0-9a-f]{{{OLD_ID}}}")
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
"""Values for fields that reports of older formats lack."""


def refuse_unwritable(objects: ObjectStore, gallery: str) -> None:
    """Find out before a measurement whether its report can be saved after it: tried with an empty file.

    On object storage only a write would tell, and would leave an object.

    Raises:
        BadInput: no file can be made or named there.
    """
    if not isinstance(objects.root, Path):
        return
    folder = objects.root / checks_folder(gallery)
    while not folder.exists():
        folder = folder.parent
    try:
        tried_in(folder)
    except OSError as error:
        raise BadInput(
            folder,
            expected="a folder that this user can write to: the check is saved in it",
            found=reason(error),
            hint=Advice("check_without_saving"),
        ) from error


def document_of(report: Report) -> dict[str, Any]:
    """A report as JSON values, with the fields of its format."""
    return without_unused(asdict(report), "rerank")


def save_report(objects: ObjectStore, report: Report, per_query: pa.Table) -> Report:
    """Write the per-query table, the report, and its entry in the index; its id is the digest of its content.

    The check counts once the entry is written.
    """
    complete = replace(report, id=_digest(document_of(report)))
    buffer = io.BytesIO()
    pq.write_table(per_query, buffer, compression="zstd")
    objects.put_new(per_query_key(report.gallery, complete.id), buffer.getvalue())
    objects.put_new(report_key(report.gallery, complete.id), json.dumps(document_of(complete), indent=1).encode())
    add_entry(objects, complete)
    return complete


def load_report(objects: ObjectStore, gallery: str, check: str) -> Report:
    """Read the report of a check by its id.

    Raises:
        BadInput: no such check, a newer format, or a report that was edited.
    """
    key = report_key(gallery, check)
    where = objects.root / key
    try:
        data = objects.get(key)
    except FileNotFoundError:
        raise unknown_name("check", check, check_ids(objects, gallery)) from None
    with in_the_store():
        raw = parsed(data, where, LARGEST_STORED)
        refuse_newer(raw, where, "report", FORMAT)
        report = fitted(Report, raw, where, OLDER)
        # The digest is that of the file, without what `OLDER` adds.
        if not report.id == check == _digest({**raw, "id": ""}):
            raise BadInput(where, expected="the report as it was saved", found="another, or one that was edited")
    return report


def readable_report(objects: ObjectStore, gallery: str, check: str) -> Report | None:
    """The report of a check by its id; None if it is gone or damaged."""
    try:
        return load_report(objects, gallery, check) if check else None
    except BadInput:
        return None


def check_ids(objects: ObjectStore, gallery: str) -> list[str]:
    """Ids of the complete checks of a gallery, by one listing: those that have a report."""
    checks = [check_of_report(entry.key) for entry in objects.entries(checks_folder(gallery)) if not entry.unfinished]
    return sorted(filter(None, checks))


def counted_checks(objects: ObjectStore, gallery: str) -> list[str]:
    """Ids of the checks that count: those in the index, and those of releases that had none.

    Raises:
        BadInput: an entry of the index is damaged.
    """
    indexed = read_index_files(objects, index_keys(objects, gallery))
    old = [check for check in check_ids(objects, gallery) if len(check) != NEW_ID]
    return sorted({*old, *(file.entry.check for file in indexed)})


def old_reports(objects: ObjectStore, gallery: str, fingerprint: str, state: str) -> list[Report]:
    """The reports of a model on a state that are not in the index: releases before format 5 wrote them.

    Raises:
        BadInput: one is damaged and may be of this model on this state. Others are left out.
    """
    reports = []
    for check in filter(_OLD.fullmatch, objects.children(checks_folder(gallery))):
        if _may_be_of(objects, report_key(gallery, check), fingerprint, state):
            report = load_report(objects, gallery, check)
            if (report.fingerprint, report.state) == (fingerprint, state):
                reports.append(report)
    return reports


def _may_be_of(objects: ObjectStore, key: str, fingerprint: str, state: str) -> bool:
    """Whether a report may be of this model and state. A damaged one may, unless it names another."""
    try:
        data = objects.get(key)
    except FileNotFoundError:
        return False
    said = {name: re.search(rf'"{name}": ?"([^"]*)"'.encode(), data) for name in ("fingerprint", "state")}
    wanted = {"fingerprint": fingerprint, "state": state}
    return all(match is None or match[1] == wanted[name].encode() for name, match in said.items())


def _digest(content: dict[str, Any]) -> str:
    """The id of a report. Its length tells, without a read, whether the check should be in the index."""
    return json_digest(content, sort_keys=False)[: NEW_ID if content.get("format", 0) >= INDEXED else OLD_ID]
