"""Inputs of a check: the files and settings to measure with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from skipfill.compat.evaluation.index.settings import IndexSettings
from skipfill.compat.evaluation.statistics.threshold_transfer import rule
from skipfill.compat.metrics.registry import FORMS, metric, of_scores
from skipfill.store.checks.policy import NEIGHBOURS, TRUTHS, Policy, refuse_outside
from skipfill.store.checks.reranking import CANDIDATES
from skipfill.store.errors import Advice, BadInput, Parameter, unknown_name
from skipfill.store.parquet.items import ItemColumns


@dataclass(frozen=True)
class SliceSpec:
    """Slices to judge separately, besides those of every check.

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
        truth: the rows that are relevant: those of the query's label, judged ones, the first of a reindex, or
            (`neighbours`) the first that the query's own stored vector finds.
        judgements: file of them; needed where they are the truth.
        depth: how many of the first rows of a reindex, or of neighbours, are relevant; at least 1.
        identity: SQL over the queries. Those with the same value are one cluster. Empty: each query is its own.
        slices: further groups of queries.
        index: the index to measure with; None for none.
        old_vector: column of the items with the old model's vectors of the queries; empty: stored or encoded ones.
        old_input: column of the items that the old model encodes; empty: the new model's.
        truth_vector: column of the items, and of those of gallery rows, with an independent model's vectors, which say
            what is relevant where the truth is a reindex; empty: the ceiling does.
        thresholds: thresholds on old scores, each in [-1, 1], to be transferred to new ones.
        threshold_rule: what stays the same: `far`, the share accepted of rows that are not relevant, or `match-rate`.
        instead_of: ids of checks on other queries that did not pass, and that this one stands in for.
        reason: why these queries are the better ones; recorded. Needed where `instead_of` names any.
        rerank: numbers of candidates that the new model re-ranks, each tried; empty where its view alone ranks.
        candidates: the query that finds them, of CANDIDATES; empty: the old one if it is available when queries are
            served, else the new model's view.
        keep: whether the items that were encoded for this are added to the model's overlay of the gallery.

    Raises:
        BadInput: a value out of its range, an unknown name, missing judgements or reason, or a measurement that
            does not go with re-ranking.
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
    truth_vector: str = ""
    thresholds: Sequence[float] = ()
    threshold_rule: str = "far"
    columns: ItemColumns = field(default_factory=ItemColumns)
    instead_of: Sequence[str] = ()
    reason: str = ""
    rerank: Sequence[int] = ()
    candidates: str = ""
    keep: bool = False

    def __post_init__(self) -> None:
        if not self.items:
            raise BadInput(Parameter("items"), expected="at least one file", found="none")
        if self.truth not in (*TRUTHS, NEIGHBOURS):
            raise unknown_name("truth", self.truth, (*TRUTHS, NEIGHBOURS), where=Parameter("truth"))
        if self.truth == "judgements" and self.judgements is None:
            raise BadInput(
                Parameter("truth", self.truth),
                expected="a judgements file",
                found="none",
                hint=Advice("give_them", parameter="judgements"),
            )
        if bool(self.instead_of) != bool(self.reason.strip()):
            given, missing = ("instead_of", "reason") if self.instead_of else ("reason", "instead_of")
            hint = Advice("give_them", parameter=missing)
            raise BadInput(Parameter(given), expected=f"a {missing.replace('_', ' ')} too", found="none", hint=hint)
        if self.old_vector and self.old_input:
            raise BadInput(
                Parameter("old_input", self.old_input),
                expected="something that the old model encodes",
                found=f"its vectors already, in column {self.old_vector}",
            )
        if self.truth_vector and self.truth != "reindex":
            raise BadInput(Parameter("truth_vector"), expected="a reindex as the truth", found=self.truth)
        refuse_outside("depth", self.depth, 1)
        for cutoff in self.thresholds:
            refuse_outside("threshold", cutoff, -1, 1)
        rule(self.threshold_rule)
        self._refuse_beside_reranking()

    def _refuse_beside_reranking(self) -> None:
        """Refuse options of re-ranking without it, and with it what needs scores of one space."""
        for k in self.rerank:
            refuse_outside("rerank", k, 1)
        if self.candidates and self.candidates not in CANDIDATES:
            raise unknown_name("kind of candidates", self.candidates, CANDIDATES, where=Parameter("candidates"))
        for name, given in (("candidates", bool(self.candidates)), ("keep", self.keep)):
            if given and not self.rerank:
                raise BadInput(Parameter(name), expected="re-ranking too", found="none", hint=Advice("ask_rerank"))
        for name, given in (("threshold", bool(self.thresholds)), ("index", self.index is not None)):
            if given and self.rerank:
                raise BadInput(
                    Parameter(name),
                    expected="results that one space alone scores and orders",
                    found="re-ranking",
                    hint=Advice("without_rerank"),
                )

    @property
    def files(self) -> list[Path]:
        """Every file that is given."""
        return [*self.items, *self.gallery_items, *([self.judgements] if self.judgements else [])]

    @property
    def queries_are_rows(self) -> bool:
        """Whether a row with a query's id is the query itself. Judged queries have ids of their own, as in TREC."""
        return self.truth != "judgements"


def refuse_unknown_metric(policy: Policy) -> None:
    """Raise `BadInput` where no metric has the name of the one that decides."""
    if metric(policy.metric) is None:
        raise unknown_name("metric", policy.metric, FORMS, where=Parameter("metric"))


def refuse_scores_of_two_spaces(policy: Policy, inputs: CheckInputs) -> None:
    """Raise `BadInput` where the metric that decides compares scores, and rows are re-ranked."""
    if inputs.rerank and of_scores(policy.metric):
        raise BadInput(
            Parameter("metric", policy.metric),
            expected="a metric of ranks: re-ranked rows have scores of two spaces",
            found="one of scores",
        )
