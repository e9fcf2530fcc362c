"""The index that a check builds: as it is configured in production, or HNSW's usual settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from skipfill.compat.settings import Range, checked, field_of
from skipfill.store.errors import BadInput, Parameter

Order = Literal["stored", "shuffled", "by-label"]


@dataclass(frozen=True)
class IndexSettings:
    """Settings of an HNSW index and of how it is measured.

    Attributes:
        neighbours: HNSW's M; a row has twice as many links on the lowest level.
        ef_construction: candidates kept while a row is linked.
        ef_search: candidates kept while a query is answered, in production.
        k: rows asked for.
        order: order in which rows are inserted. faiss shuffles the rows of one insertion, so that the order matters
            between insertions only.
        batch: rows of one insertion.
        rows: most rows that are indexed; a uniform sample if the gallery has more.
        queries: most queries that are measured; a uniform sample if more are given.
        confidence: confidence of the two-sided bootstrap intervals.
    """

    neighbours: Annotated[int, Range(2, 512)] = 32
    ef_construction: Annotated[int, Range(1, 4096)] = 200
    ef_search: Annotated[int, Range(1, 4096)] = 64
    k: Annotated[int, Range(1, 1024)] = 10
    order: Order = "stored"
    batch: Annotated[int, Range(1)] = 1_000
    rows: Annotated[int, Range(2)] = 100_000
    queries: Annotated[int, Range(1)] = 1_000
    confidence: Annotated[float, Range(0.5, 0.999)] = 0.95
    resamples: Annotated[int, Range(100)] = 2_000
    seed: int = 0


def read_index(text: str) -> IndexSettings:
    """Read settings written as `hnsw` or `hnsw:ef_search=128,order=shuffled`.

    Raises:
        BadInput: another index, an unknown setting, or a value out of its range.
    """
    kind, colon, rest = text.partition(":")
    if kind != "hnsw" or (colon and not rest):
        raise BadInput(Parameter("index"), expected="hnsw, or hnsw:SETTING=VALUE,...", found=repr(text))
    values = {}
    for part in rest.split(",") if rest else []:
        name, _, value = part.partition("=")
        values[name.strip()] = field_of("index", IndexSettings, name.strip()).read(value.strip())
    return IndexSettings(**checked("index", IndexSettings, values))
