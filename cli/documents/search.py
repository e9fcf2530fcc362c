"""Document of `skipfill search`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HitDocument:
    """A row that a query found.

    Attributes:
        query: id of the query, of the type that it has in its file.
        rank: from 1.
        id: of the row, of the type that it has in the gallery.
        score: cosine or inner product; higher is nearer.
        scored_by: name of the model in whose space the score is; only where rows were re-ranked.
    """

    query: str | int
    rank: int
    id: str | int
    score: float
    scored_by: str


@dataclass(frozen=True)
class SearchDocument:
    """The nearest rows of queries.

    Attributes:
        gallery: name of the gallery.
        model: name of the model that encoded the queries; empty when they came as vectors.
        k: how many rows were asked for, or are there.
        hits: query by query, the best first; empty where they were written to a file.
    """

    gallery: str
    model: str
    k: int
    hits: list[HitDocument]
