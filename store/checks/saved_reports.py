"""Check reports in the store: saved, loaded, and the newest one of a model on a state of a gallery."""

from __future__ import annotations

import hashlib
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
from skipfill.store.storage.keys import valid_name
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.strict_json import LARGEST_STORED, Older, parsed, stored

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
    digest = _digest(asdict(report))
    complete = replace(report, id=digest)
    buffer = io.BytesIO()
    pq.write_table(per_query, buffer, compression="zstd")
    objects.put_new(f"{_folder(report.gallery)}/{digest}/queries.parquet", buffer.getvalue())
    objects.put_new(f"{_folder(report.gallery)}/{digest}/report.json", json.dumps(asdict(complete), indent=1).encode())
    return complete


def load_report(objects: ObjectStore, gallery: str, identity: str) -> Report:
    key = f"{_folder(gallery)}/{valid_name('check', identity)}/report.json"
    try:
        data = objects.get(key)
    except FileNotFoundError:
        raise unknown_name("check", identity, objects.children(_folder(gallery))) from None
    where = objects.root / key
    report = stored(Report, data, where, what="report", newest=FORMAT, older=OLDER)
    raw = parsed(data, where, LARGEST_STORED)  # what was digested, without what an older release did not say
    if not report.id == identity == _digest({**raw, "id": ""}):
        raise BadInput(where, expected="the report as it was saved", found="another, or one that was edited")
    return report


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]


def newest_check(objects: ObjectStore, gallery: str, fingerprint: str, state: str) -> Report | None:
    """The newest check of this very model on this very state of the gallery, or None.

    It alone speaks for the model: an older pass does not outlive a newer fail.
    """
    folder = _folder(gallery)
    complete = [one for one in objects.children(folder) if objects.exists(f"{folder}/{one}/report.json")]
    reports = [load_report(objects, gallery, one) for one in complete]
    of_this = [one for one in reports if (one.fingerprint, one.state) == (fingerprint, state)]
    return max(of_this, key=lambda report: report.created, default=None)


def _folder(gallery: str) -> str:
    return f"checks/{valid_name('gallery', gallery)}"
