"""What a check measures with: queries, their old vectors, items to encode again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from skipfill.compat.evaluation.index.settings import IndexSettings
from skipfill.compat.gate.slices import SliceSpec
from skipfill.store.checks.report import Rule
from skipfill.store.parquet.items import ItemColumns

TRUTHS = ("labels", "judgements", "reindex")


@dataclass(frozen=True)
class CheckInputs:
    """Attributes:
    items: held-out queries that the new model was not trained on, labelled where labels are the truth.
    gallery_items: items of gallery rows, to measure new/new and the ceiling; those among `items` when empty.
    ceiling: name of an independent model; empty to relate the update gain to new/new.
    truth: one of TRUTHS: rows of the query's label are relevant, judged ones, or the first that a reindex would return.
    judgements: file of them.
    depth: how many of the first rows of a reindex are relevant.
    identity: SQL over the queries; those of one value stand or fall together. Empty: each query for itself.
    slices: further groups of queries.
    index: the index to measure with; None for none.
    thresholds: cut-offs on old scores, to be transferred to new ones.
    threshold_rule: what stays the same: `far`, the share accepted of rows that are not relevant, or `match-rate`.
    """

    items: Sequence[Path]
    gallery_items: Sequence[Path] = ()
    ceiling: str = ""
    truth: str = "labels"
    judgements: Path | None = None
    depth: int = 10
    identity: str = ""
    slices: SliceSpec = SliceSpec()
    index: IndexSettings | None = None
    thresholds: Sequence[float] = ()
    threshold_rule: Rule = "far"
    columns: ItemColumns = field(default_factory=ItemColumns)

    @property
    def queries_are_rows(self) -> bool:
        """Whether a row of a query's id is the query itself. Judged queries have ids of their own, as in TREC."""
        return self.truth != "judgements"
