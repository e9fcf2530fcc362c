"""The report of a check: its measurements, its requirements and their verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from skipfill.store.checks.names import is_of_every_check
from skipfill.store.checks.queries import Queries
from skipfill.store.checks.requirement import Requirement, Verdict
from skipfill.store.checks.reranking import Reranked
from skipfill.store.checks.scores import ScoreDistribution
from skipfill.store.parquet.digests.fingerprint import RowsBy

FORMAT = 6
"""Written for checks of a re-ranking; older releases read all others."""
WITHOUT_RERANKING = DECIDING_FLIPS = 5
"""First format in which the deciding metric defines the flips."""
Rule = Literal["far", "match-rate"]


@dataclass(frozen=True)
class Interval:
    """A mean over queries with the ends of its bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Threshold:
    """A threshold on the old model's scores and the one on the new model's that accepts at the same rate.

    Attributes:
        rule: the rate that stays the same: `far`, among the irrelevant pairs of query and row; `match-rate`, among all
            pairs. Both are means over queries.
        old: the threshold that was given; a score at or above it is accepted.
        new: the threshold for the new model, with the ends of its interval.
        old_rate: share that `old` accepts.
        new_rate: share that `new` accepts on these queries, with the interval for the same number of other queries.
        confidence: of both intervals, two-sided.
        pairs: how many were counted.
        units: clusters of queries that were drawn together: single ones, or classes.
        effective_units: how many equal clusters the rate rests on.
        tar: share of relevant pairs that the `old` and the `new` threshold accept; empty where none are known.
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
    """The measurements and the verdict of one group of queries.

    Attributes:
        name: `all`, `seen` (classes the new model was trained on), `unseen`, or the predicate asked for.
        queries: how many.
        units: how many clusters of queries that stand or fall together: identities, or queries of one vector.
        cells: old/old, new/old, and, on the re-encoded rows, new/new and the ceiling.
        change: paired difference new/old - old/old by metric. It is above `low`, and below `high`, each with the
            policy's confidence; in files of format 4 and older, between them with that confidence.
        gain: update gain by metric; None where the ceiling is not above the baseline, or unknown.
        flips: queries whose value in the deciding metric fell (`negative`) and rose (`positive`): see `flip_metric`.
        requirements: what the policy asks of it.
        verdict: the worst of these.
        by_value: whether it comes from a value of an expression. Its name may look like a predicate.
    """

    name: str
    queries: int
    units: int
    cells: list[Cell]
    change: dict[str, Interval]
    gain: dict[str, Interval | None]
    flips: dict[str, int]
    requirements: list[Requirement]
    verdict: Verdict
    by_value: bool = False

    def nothing_required(self, *, accepted: bool) -> str:
        """The reason why nothing is required of it; empty where there is none.

        Args:
            accepted: whether the policy excuses it.
        """
        if accepted:
            return "the policy requires nothing of it"
        if self.queries:
            return ""
        return "no query of this kind" + (", though the gallery has rows of it" if is_of_every_check(self.name) else "")


def judged_names(slices: Sequence[Slice]) -> tuple[str, ...]:
    """Names of the slices of every check, and of predicates, of which something was required."""
    return tuple(one.name for one in slices if one.requirements and not one.by_value)


@dataclass(frozen=True)
class Flips:
    """Queries by id, at most 100 of each; all are in the per-query file.

    Attributes:
        negative: those whose value fell, the largest loss first: see `flip_metric`.
        positive: the reverse, the largest gain first.
    """

    negative: list[str]
    positive: list[str]


@dataclass(frozen=True)
class Effort:
    """Recall of both query sets at one efSearch."""

    ef_search: int
    old: float
    new: float


@dataclass(frozen=True)
class IndexRecall:
    """Recall@k of an index: the share of the k exact nearest rows that it returns; a row as near as the k-th counts.

    Attributes:
        rows: indexed, of `gallery_rows`.
        queries: measured, of `given_queries`.
        k: rows asked for; fewer than in the settings when fewer are indexed.
        recall: of `old` and `new` queries at `settings.ef_search`.
        change: paired difference new - old of these.
        efforts: recall at other efforts, ascending.
        effort_needed: the smallest efSearch at which the new queries have the recall that the old ones have at
            `settings.ef_search`; None when none up to `most_effort` has.
        dimension: median local intrinsic dimension of `old` and `new` queries, from `dimension_neighbours` exact
            neighbours; None where it is unbounded or unknown.
        dimension_ratio: new / old, the geometric mean over queries; None where no query has both.
        warnings: what to know before the new queries meet such an index: the new recall is lower by more than a
            point, or the local dimension higher by more than half, with confidence.
    """

    rows: int
    gallery_rows: int
    queries: int
    given_queries: int
    k: int
    settings: dict[str, Any]
    recall: dict[str, Interval]
    change: Interval
    efforts: list[Effort]
    effort_needed: int | None
    most_effort: int
    dimension: dict[str, float | None]
    dimension_neighbours: int
    dimension_ratio: Interval | None
    warnings: list[str]


@dataclass(frozen=True)
class Report:
    """One check of a model on a gallery version, with everything that its verdict rests on.

    Attributes:
        state: digest of the gallery's rows, space and release: a swap needs a pass on the current state.
        fingerprint: of the model; where it re-ranks, of this way of answering queries: see `way_fingerprint`.
        why: a sentence for each reason for the verdict.
        truth: what made rows relevant: `labels`, `judgements`, `reindex` or `neighbours`.
        reencoded_rows: gallery rows that were encoded again for new/new.
        baseline: where the old query vectors come from.
        scores: of old/old and new/old.
        index: what an index on the stored rows does to the new queries; None when not asked for.
        seconds: that it took.
        rows_by: numbers of the gallery's rows by model; more than one for a mixed gallery. Empty in old files.
        queries: what was asked.
        instead_of: ids of failed checks on other queries that this check replaces.
        reason: why these queries are the better ones.
        asked_less: points in which the check asked less than the gallery's policy, so that a pass allows no swap.
        rows_state: the state without the release: evidence against the model counts wherever this is the same.
            Empty in old files.
        rerank: how the model re-ranked, and what that took; None where its view alone found the rows.
    """

    gallery: str
    version: int
    state: str
    model: str
    fingerprint: str
    verdict: Verdict
    why: list[str]
    slices: list[Slice]
    policy: dict[str, Any]
    truth: str
    gallery_rows: int
    reencoded_rows: int
    ceiling: str
    baseline: str
    flips: Flips
    scores: list[ScoreDistribution]
    warnings: list[str]
    created: str
    seconds: float
    index: IndexRecall | None = None
    id: str = ""
    thresholds: list[Threshold] = field(default_factory=list)
    rows_by: list[RowsBy] = field(default_factory=list)
    queries: Queries = Queries()
    instead_of: list[str] = field(default_factory=list)
    reason: str = ""
    asked_less: list[str] = field(default_factory=list)
    rows_state: str = ""
    rerank: Reranked | None = None
    format: int = field(default=WITHOUT_RERANKING)

    @property
    def saved(self) -> bool:
        """Whether it is in the store: only then does it count for a swap, or against one."""
        return bool(self.id)

    @property
    def flip_metric(self) -> str:
        """The metric that defines the flips."""
        return "CMC@1" if self.format < DECIDING_FLIPS else str(self.policy.get("metric", "CMC@1"))

    @property
    def mixed(self) -> str:
        """The models that made the gallery's rows, in words; empty where one made them all."""
        if len(self.rows_by) < 2:
            return ""
        makers = ", ".join(f"{one.rows:,} rows by {one.model}" for one in self.rows_by)
        return f"mixed gallery: {makers}; rows by a later model tend to crowd the others out of the first results"
