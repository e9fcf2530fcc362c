"""Documents of the commands that measure models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from skipfill.cli.documents.releases import RollbackValues
from skipfill.store.checks.policy import Policy
from skipfill.store.checks.report import Report
from skipfill.store.checks.requirement import Verdict
from skipfill.store.galleries.log import Version

ReportValues = Annotated[dict[str, Any], Report]
"""A report as JSON values, with the fields of its format: see `document_of`."""


@dataclass(frozen=True)
class CheckDocument:
    """A check of a model on a gallery.

    Attributes:
        check: its report.
        verdict: that of the report.
        rolled_back: the rollbacks that left the model, the newest first.
        swap_allowed: whether a swap to the model needs nothing more; null where this cannot be read.
        notes: what stands against a swap although the check passed, and rollbacks that left the model; in sentences.
    """

    check: ReportValues
    verdict: Verdict
    rolled_back: list[RollbackValues]
    swap_allowed: bool | None
    notes: list[str]


@dataclass(frozen=True)
class DemoDocument:
    """The results of the demo.

    Attributes:
        checks: method -> report of the check of its model.
        swapped: the model that was swapped to, and rolled back; empty where none passed.
        seconds: that it took.
    """

    checks: dict[str, ReportValues]
    swapped: str
    seconds: int


@dataclass(frozen=True)
class PolicyDocument:
    """The policy of a gallery, which may have been changed.

    Attributes:
        gallery: name of the gallery.
        policy: the one in force.
        own: whether it was set; otherwise it is the default.
        version: the newest entry of the gallery's log, or the one that would be added.
        dry_run: whether nothing was written.
    """

    gallery: str
    policy: Policy
    own: bool
    version: Version
    dry_run: bool


@dataclass(frozen=True)
class SummaryDocument:
    """Compatibility of a sequence of models in one metric; null where it is undefined.

    Attributes:
        AC: share of new/old cells that are at least as high as old/old.
        AM: mean of all cells.
        backward: the last model's queries on earlier galleries, minus those on its own.
        forward: queries on the previous gallery, minus those on their own.
    """

    AC: float | None
    AM: float | None
    backward: float | None
    forward: float | None


@dataclass(frozen=True)
class SequenceDocument:
    """Matrices of a sequence of models.

    Attributes:
        models: their names, the earliest first.
        matrices: metric -> a row for each model of the queries; it ends at the model's own gallery.
        summary: metric -> the matrix in short.
        queries: how many.
        gallery_rows: how many.
        left_out: queries without a row to be found.
    """

    models: list[str]
    matrices: dict[str, list[list[float]]]
    summary: dict[str, SummaryDocument]
    queries: int
    gallery_rows: int
    left_out: int


@dataclass(frozen=True)
class MatrixDocument:
    """The compatibility matrix of a sequence of models.

    Attributes:
        matrix: in every metric.
    """

    matrix: Annotated[dict[str, Any], SequenceDocument]
