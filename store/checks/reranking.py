"""Re-ranking as a way of answering queries, and a check's measurements of it.

A search in the old space finds K candidates per query; a newer model re-orders them in its own space.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from skipfill.store.checks.requirement import Verdict
from skipfill.store.errors import BadInput, Parameter, unknown_name
from skipfill.store.strict_json import json_digest

CandidatesBy = Literal["old", "view"]
CANDIDATES: tuple[CandidatesBy, ...] = ("old", "view")


@dataclass(frozen=True)
class Reranking:
    """A way of answering queries in two stages.

    Attributes:
        k: how many rows are candidates, at least 1.
        candidates: the query vector that finds them in the gallery's space: the `old` model's, or the newer model's
            `view`, which may be a blend.

    Raises:
        BadInput: a value out of its range.
    """

    k: int
    candidates: CandidatesBy = "old"

    def __post_init__(self) -> None:
        if self.k < 1:
            raise BadInput(Parameter("rerank", str(self.k)), expected="at least 1 candidate", found=str(self.k))
        if self.candidates not in CANDIDATES:
            raise unknown_name("kind of candidates", self.candidates, CANDIDATES, where=Parameter("candidates"))

    def __str__(self) -> str:
        return f"re-ranking {self.k:,}{' by its view' if self.candidates == 'view' else ''}"

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters with which a command asks for it."""
        return {"rerank": self.k} | ({} if self.candidates == "old" else {"candidates": self.candidates})


@dataclass(frozen=True)
class ModelInWay:
    """A model, and the options that a command needs besides its name to answer queries in a certain way."""

    model: str
    parameters: dict[str, object]


def way_fingerprint(model: str, reranking: Reranking | None) -> str:
    """Fingerprint of a way of answering queries, under which its checks are kept: that of the model, or of both.

    So a check of one way says nothing about another.

    Args:
        model: fingerprint of the model.
        reranking: None where queries are answered by the model's view alone.
    """
    if reranking is None:
        return model
    return json_digest([model, "rerank", reranking.k, reranking.candidates])


def way_words(model: str, reranking: Reranking | None) -> str:
    """A model by name, and how it answers queries."""
    return model if reranking is None else f"{model}, {reranking}"


@dataclass(frozen=True)
class TouchedRows:
    """The number of distinct rows that are candidates of a number of queries.

    Attributes:
        rows: measured as the mean over all choices of this many of the check's queries, or predicted for more.
        low, high: band of a prediction; the same as `rows` where it is measured.
    """

    queries: int
    rows: float
    low: float
    high: float


@dataclass(frozen=True)
class TriedK:
    """One number of candidates in a check of several.

    Attributes:
        value, change: mean of the deciding metric over all queries, and its change against the old model.
        encoded: distinct rows that are candidates of its queries. With an empty overlay, each is encoded once.
        low, high: the change is above `low`, and below `high`, each with the policy's confidence.
        now: how many of these rows were encoded for the check.
        as_good: whether its results are as good as the best of those tried, within one standard error.
    """

    k: int
    verdict: Verdict
    value: float
    change: float
    encoded: int
    low: float | None = None
    high: float | None = None
    now: int = 0
    as_good: bool = False


@dataclass(frozen=True)
class Reranked:
    """A check's measurements of re-ranking.

    Attributes:
        way: what was measured.
        model: fingerprint of the model alone.
        overlay: number of the overlay's version that was read; 0 where there was none.
        overlay_rows: rows in that version.
        needs_overlay: whether new vectors came from the overlay without an item to encode them from: then a swap needs
            an overlay that still has them.
        touched: distinct rows that are candidates of some query.
        from_overlay, encoded, without_vector: how many of these had a vector in the overlay, were encoded from their
            items, or had neither and kept their place.
        kept: whether what was encoded is in the overlay now.
        cold, warm: items encoded for each query, on average: with an empty overlay, and with the one there was.
        places_without: share of all candidates of all queries that had no new vector.
        gallery_rows: of the gallery.
        curve: rows touched after some of the queries, as measured.
        predicted: the same after more queries.
        milliseconds: median time per query of look-up, gathering, product and sorting, once its vectors are there.
        items_per_second: encoded here; None where nothing was.
        tried: each number of candidates that was tried, the largest first; empty where one alone was asked for.
    """

    way: Reranking
    model: str
    overlay: int
    overlay_rows: int
    needs_overlay: bool
    touched: int
    from_overlay: int
    encoded: int
    without_vector: int
    kept: bool
    cold: float
    warm: float
    places_without: float
    gallery_rows: int
    curve: list[TouchedRows]
    predicted: list[TouchedRows]
    milliseconds: float
    items_per_second: float | None = None
    tried: list[TriedK] = field(default_factory=list)

    @property
    def passing(self) -> list[TriedK]:
        """The numbers of candidates that pass, the smallest first; empty where one alone was tried."""
        return sorted((one for one in self.tried if one.verdict == "pass"), key=lambda one: one.k)

    @property
    def recommended(self) -> Reranking:
        """The smallest number of candidates that passes and is as good as the best, by the rule of `advise`.

        Where one alone was tried, this one.
        """
        as_good = [one.k for one in self.passing if one.as_good]
        return replace(self.way, k=as_good[0]) if as_good else self.way


def without_unused(document: dict[str, Any], *names: str) -> dict[str, Any]:
    """A document without those of the named fields that are None: older releases do not know them."""
    return {key: value for key, value in document.items() if key not in names or value is not None}
