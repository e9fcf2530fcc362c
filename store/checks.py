"""Check reports: immutable, one folder each, the per-query results as Parquet beside the report."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from skipfill.store.errors import unknown_name
from skipfill.store.names import valid_name
from skipfill.store.objects import Objects

FORMAT = 1
Verdict = Literal["pass", "fail", "inconclusive"]
Rule = Literal["far", "match-rate"]


@dataclass(frozen=True)
class Interval:
    """A mean over queries with the ends of its bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Threshold:
    """A cut-off on the old model's scores and the one on the new model's that accepts at the same rate.

    Attributes:
        rule: `far`: the share of the pairs of query and row that are not relevant; `match-rate`: of all pairs. Both
            are means over queries.
        old: the cut-off that was given; accepted is a score at or above it.
        new: the cut-off for the new model, with the ends of its interval.
        old_rate: share that `old` accepts.
        new_rate: share that `new` accepts of these queries, and between which ends it will be on as many others.
        confidence: of both intervals, two-sided.
        pairs: how many were counted.
        units: queries, or classes where queries of one class were drawn together.
        effective_units: how many equal ones the rate rests on.
        tar: share of relevant pairs that the `old` and the `new` cut-off accept; empty where none are known.
        warnings: what makes the intervals doubtful.
    """

    rule: Rule
    old: float
    new: Interval
    old_rate: float
    new_rate: Interval
    confidence: float
    pairs: int
    units: int
    effective_units: float
    tar: dict[str, float]
    warnings: list[str]


@dataclass(frozen=True)
class Cell:
    """One entry of the compatibility matrix on one slice: query model / gallery space, a metric, its interval."""

    pair: str
    metric: str
    value: Interval


@dataclass(frozen=True)
class Slice:
    """What was measured on one group of queries.

    Attributes:
        name: `all`, `trained-on` (classes the new model was trained on) or `others`.
        queries: how many.
        cells: old/old, new/old, and, on the re-encoded rows, new/new and the ceiling.
        change: paired difference new/old - old/old by metric.
        gain: update gain by metric; None where the ceiling is not above the baseline, or unknown.
        flips: queries right before and wrong after (`negative`), and the reverse (`positive`).
        verdict: of this slice.
    """

    name: str
    queries: int
    cells: list[Cell]
    change: dict[str, Interval]
    gain: dict[str, Interval | None]
    flips: dict[str, int]
    verdict: Verdict


@dataclass(frozen=True)
class Report:
    """One check of a model on a gallery version, with everything that its verdict rests on."""

    gallery: str
    version: int
    state: str
    model: str
    fingerprint: str
    verdict: Verdict
    why: list[str]
    slices: list[Slice]
    policy: dict[str, Any]
    gallery_rows: int
    reencoded_rows: int
    ceiling: str
    baseline: str
    warnings: list[str]
    created: str
    seconds: float
    id: str = ""
    thresholds: list[Threshold] = field(default_factory=list)
    format: int = field(default=FORMAT)


def save_report(objects: Objects, report: Report, per_query: pa.Table) -> Report:
    """Write the per-query table and then the report; its id is the digest of its content."""
    digest = hashlib.sha256(json.dumps(asdict(report)).encode()).hexdigest()[:12]
    complete = replace(report, id=digest)
    buffer = io.BytesIO()
    pq.write_table(per_query, buffer, compression="zstd")
    objects.put_new(f"{_folder(report.gallery)}/{digest}/queries.parquet", buffer.getvalue())
    objects.put_new(f"{_folder(report.gallery)}/{digest}/report.json", json.dumps(asdict(complete), indent=1).encode())
    return complete


def load_report(objects: Objects, gallery: str, identity: str) -> Report:
    try:
        raw = json.loads(objects.get(f"{_folder(gallery)}/{valid_name('check', identity)}/report.json"))
    except FileNotFoundError:
        raise unknown_name("check", identity, objects.children(_folder(gallery))) from None
    return _parsed(raw)


def newest_passing(objects: Objects, gallery: str, fingerprint: str, state: str) -> Report | None:
    """The newest passing check of this very model on this very state of the gallery, or None."""
    found: list[Report] = []
    for identity in objects.children(_folder(gallery)):
        if objects.exists(f"{_folder(gallery)}/{identity}/report.json"):
            report = load_report(objects, gallery, identity)
            if (report.fingerprint, report.state, report.verdict) == (fingerprint, state, "pass"):
                found.append(report)
    return max(found, key=lambda report: report.created, default=None)


def _folder(gallery: str) -> str:
    return f"checks/{valid_name('gallery', gallery)}"


def _parsed(raw: dict[str, Any]) -> Report:
    slices = [
        Slice(
            name=one["name"],
            queries=one["queries"],
            cells=[Cell(cell["pair"], cell["metric"], Interval(**cell["value"])) for cell in one["cells"]],
            change={metric: Interval(**value) for metric, value in one["change"].items()},
            gain={metric: value and Interval(**value) for metric, value in one["gain"].items()},
            flips=one["flips"],
            verdict=one["verdict"],
        )
        for one in raw["slices"]
    ]
    thresholds = [threshold(one) for one in raw.get("thresholds", [])]
    return Report(**{**raw, "slices": slices, "thresholds": thresholds})


def threshold(raw: dict[str, Any]) -> Threshold:
    """A threshold as it was written."""
    return Threshold(**{**raw, "new": Interval(**raw["new"]), "new_rate": Interval(**raw["new_rate"])})
