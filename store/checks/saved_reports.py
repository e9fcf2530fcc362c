"""Check reports in the store: saved, loaded, and the newest one of a model on a state of a gallery."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from skipfill.store.checks.report import FORMAT, Flips, Report, Slice
from skipfill.store.errors import BadInput, unknown_name
from skipfill.store.storage.keys import checks_folder, is_name, per_query_key, report_key
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.strict_json import LARGEST_STORED, Older, parsed, stored

# What reports of format 1 did not say yet.
OLDER: Older = {
    Report: {
        "truth": lambda read: "labels",
        "flips": lambda read: Flips([], []),
        "scores": lambda read: [],
    },
    Slice: {"units": lambda read: read["queries"], "requirements": lambda read: []},
}


def save_report(objects: ObjectStore, report: Report, per_query: pa.Table) -> Report:
    """Write the per-query table and then the report; its id is the digest of its content."""
    digest = _digest(asdict(report))
    complete = replace(report, id=digest)
    buffer = io.BytesIO()
    pq.write_table(per_query, buffer, compression="zstd")
    objects.put_new(per_query_key(report.gallery, digest), buffer.getvalue())
    objects.put_new(report_key(report.gallery, digest), json.dumps(asdict(complete), indent=1).encode())
    return complete


def load_report(objects: ObjectStore, gallery: str, identity: str) -> Report:
    key = report_key(gallery, identity)
    try:
        data = objects.get(key)
    except FileNotFoundError:
        raise unknown_name("check", identity, objects.children(checks_folder(gallery))) from None
    where = objects.root / key
    report = stored(Report, data, where, what="report", newest=FORMAT, older=OLDER)
    raw = parsed(data, where, LARGEST_STORED)  # what was digested, without what an older release did not say
    if not report.id == identity == _digest({**raw, "id": ""}):
        raise BadInput(where, expected="the report as it was saved", found="another, or one that was edited")
    return report


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]


def complete_checks(objects: ObjectStore, gallery: str) -> list[str]:
    """Ids of the checks of a gallery that have a report."""
    checks = [name for name in objects.children(checks_folder(gallery)) if is_name(name)]
    return [check for check in checks if objects.exists(report_key(gallery, check))]


def newest_check(objects: ObjectStore, gallery: str, fingerprint: str, state: str) -> Report | None:
    """The newest check of this very model on this very state of the gallery, or None.

    It alone speaks for the model: an older pass does not outlive a newer fail.
    """
    reports = [load_report(objects, gallery, check) for check in complete_checks(objects, gallery)]
    of_this = [one for one in reports if (one.fingerprint, one.state) == (fingerprint, state)]
    return max(of_this, key=lambda report: report.created, default=None)
