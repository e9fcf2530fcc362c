"""Inputs of a check: the files and settings to measure with, and the policy to judge by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from skipfill.compat.evaluation.index.settings import IndexSettings
from skipfill.compat.evaluation.statistics.threshold_transfer import rule
from skipfill.compat.metrics.registry import FORMS, metric
from skipfill.store.errors import Advice, BadInput, Parameter, unknown_name
from skipfill.store.parquet.items import ItemColumns

TRUTHS = ("labels", "judgements", "reindex")


@dataclass(frozen=True)
class SliceSpec:
    """Slices to judge apart, besides those of every check.

    Attributes:
        predicates: SQL over the queries, each a slice.
        by: SQL expressions; each of their values is a slice.
        least: values with fewer queries share one slice.
    """

    predicates: Sequence[str] = ()
    by: Sequence[str] = ()
    least: int = 30


@dataclass(frozen=True)
class CheckInputs:
    """Everything that a check measures with.

    Attributes:
        items: held-out queries that the new model was not trained on, labelled where labels are the truth.
        gallery_items: items of gallery rows, to measure new/new and the ceiling; empty: those among `items`.
        ceiling: name of an independent model, which also says what is relevant where the truth is a reindex; empty to
            relate the update gain to new/new.
        truth: one of TRUTHS: rows of the query's label are relevant, judged ones, or the first of a reindex.
        judgements: file of them; needed where they are the truth.
        depth: how many of the first rows of a reindex are relevant; at least 1.
        identity: SQL over the queries; those of one value stand or fall together. Empty: each query for itself.
        slices: further groups of queries.
        index: the index to measure with; None for none.
        old_vector: column of the items with the old model's vectors of the queries; empty: stored or encoded ones.
        old_input: column of the items that the old model encodes; empty: the one that the new model does.
        thresholds: cut-offs on old scores, each in [-1, 1], to be transferred to new ones.
        threshold_rule: what stays the same: `far`, the share accepted of rows that are not relevant, or `match-rate`.

    Raises:
        BadInput: a value out of its range, an unknown word, or judgements that are missing.
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
    old_vector: str = ""
    old_input: str = ""
    thresholds: Sequence[float] = ()
    threshold_rule: str = "far"
    columns: ItemColumns = field(default_factory=ItemColumns)

    def __post_init__(self) -> None:
        if not self.items:
            raise BadInput(Parameter("items"), expected="at least one file", found="none")
        if self.truth not in TRUTHS:
            raise unknown_name("truth", self.truth, TRUTHS, where=Parameter("truth"))
        if self.truth == "judgements" and self.judgements is None:
            raise BadInput(
                Parameter("truth", self.truth),
                expected="a judgements file",
                found="none",
                hint=Advice("give_them", parameter="judgements"),
            )
        if self.old_vector and self.old_input:
            raise BadInput(
                Parameter("old_input", self.old_input),
                expected="something that the old model encodes",
                found=f"its vectors already, in column {self.old_vector}",
            )
        _refuse_outside("depth", self.depth, 1)
        for cutoff in self.thresholds:
            _refuse_outside("threshold", cutoff, -1, 1)
        rule(self.threshold_rule)

    @property
    def queries_are_rows(self) -> bool:
        """Whether a row of a query's id is the query itself. Judged queries have ids of their own, as in TREC."""
        return self.truth != "judgements"


@dataclass(frozen=True)
class Policy:
    """The requirements that a model must meet to pass.

    Attributes:
        metric: the one that decides.
        confidence: in [0.5, 0.999]: a wrong pass, and a wrong fail, have at most the probability 1 - confidence.
        margin: how much worse a slice may be, in [0, 0.99] (0.02 = two points).
        better: whether all queries together must be better than now, or not worse by the margin either.
        flip_budget: largest share of queries that may be right before and wrong after (CMC@1), in [0.0001, 0.99];
            None: any.
        accept_worse: slices of which nothing is required, by name.
        most_left_out: largest share of the queries, those trained on not counted, that may be left out because they
            have no label or no relevant row; in [0, 1].
        truth: the only truth that counts, one of TRUTHS; empty for any but a reindex.
        least_queries: fewer clusters of queries in a slice never pass; at least 2.
        resamples, seed: of the bootstrap behind the intervals that are shown.

    Raises:
        BadInput: a value out of its range, or an unknown metric.
    """

    metric: str = "CMC@1"
    confidence: float = 0.95
    margin: float = 0.02
    better: bool = True
    flip_budget: float | None = None
    accept_worse: tuple[str, ...] = ()
    most_left_out: float = 0.05
    truth: str = ""
    least_queries: int = 30
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if metric(self.metric) is None:
            raise unknown_name("metric", self.metric, FORMS, where=Parameter("metric"))
        _refuse_outside("confidence", self.confidence, 0.5, 0.999)
        _refuse_outside("margin", self.margin, 0, 0.99)
        if self.flip_budget is not None:
            _refuse_outside("flip_budget", self.flip_budget, 0.0001, 0.99)
        _refuse_outside("most_left_out", self.most_left_out, 0, 1)
        _refuse_outside("least_queries", self.least_queries, 2)

    @property
    def error(self) -> float:
        """The largest probability of a wrong pass, and of a wrong fail."""
        return 1 - self.confidence

    def described(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def _refuse_outside(name: str, value: float, low: float, high: float = math.inf) -> None:
    if not low <= value <= high:  # NaN is in no range
        expected = f"a number from {low:g} to {high:g}" if high < math.inf else f"a number of at least {low:g}"
        raise BadInput(Parameter(name), expected=expected, found=f"{value:g}")
