"""The cost of encoding a gallery again, which a swap avoids, with the arithmetic in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from skipfill.store.checks.reranking import Reranked
from skipfill.store.errors import BadInput, Parameter

BYTES_PER_COORDINATE = 4
UNITS = ("kB", "MB", "GB", "TB")
SHOWN = 3
"""Predictions that are shown, the nearest first."""


@dataclass(frozen=True)
class EncodeRate:
    """Speed of a model, measured on this machine.

    Attributes:
        items: number of items that it encoded; an item that it encoded twice counts twice.
        seconds: time that this took.
    """

    items: int
    seconds: float

    @property
    def per_second(self) -> float:
        return self.items / self.seconds


@dataclass(frozen=True)
class BackfillCost:
    """The cost of encoding a gallery again.

    Attributes:
        rows: gallery rows that need not be encoded again.
        vector_bytes: size of their float32 vectors by the new model, which need not be written.
        encode_seconds: time that the new model takes for these rows; None when not measured.
        money: price of encoding them, in the currency of the given price; None when none was given.
        arithmetic: `vectors`, `encoding` and `money` in words; of a re-ranking, `candidates` and `later` too.
    """

    rows: int
    vector_bytes: int
    encode_seconds: float | None
    money: float | None
    arithmetic: dict[str, str]


def backfill_cost(rows: int, dim: int, rate: EncodeRate | None, price_per_million: float | None) -> BackfillCost:
    """Estimate the cost of encoding `rows` rows again by a model of dimension `dim`.

    Args:
        rate: as measured on a sample of items.
        price_per_million: for encoding a million items, at least 0.

    Raises:
        BadInput: a price that is not a finite number, or is below 0.
    """
    size = rows * dim * BYTES_PER_COORDINATE
    arithmetic = {"vectors": f"{rows:,} rows x {dim:,} coordinates x {BYTES_PER_COORDINATE} bytes = {_bytes(size)}"}
    seconds = money = None
    if rate is not None:
        seconds = rows / rate.per_second
        arithmetic["encoding"] = f"{rows:,} rows / {rate.per_second:,.4g} items per second = {_duration(seconds)}"
    if price_per_million is not None:
        if not (math.isfinite(price_per_million) and price_per_million >= 0):
            raise BadInput(
                Parameter("price_per_million"), expected="a price of 0 or more", found=str(price_per_million)
            )
        money = rows * price_per_million / 1e6
        arithmetic["money"] = f"{rows:,} rows x {price_per_million:,.10g} / 1,000,000 = {money:,.10g}"
    return BackfillCost(rows, size, seconds, money, arithmetic)


def cost_beside_reranking(
    rows: int, dim: int, rate: EncodeRate | None, price_per_million: float | None, measured: Reranked | None
) -> BackfillCost:
    """Estimate the cost of encoding the rows that a re-ranking does not encode: those that are not candidates.

    Args:
        rows: of the gallery.
        rate, price_per_million: as for `backfill_cost`.
        measured: what a check measured; None without a check: then the number of candidates is not known.

    Raises:
        BadInput: see `backfill_cost`.
    """
    if measured is None:
        at_most = backfill_cost(rows, dim, rate, price_per_million)
        unknown = {"candidates": "number not known without a check; encoding them makes the saving smaller"}
        return replace(at_most, arithmetic=unknown | at_most.arithmetic)
    encoded = measured.overlay_rows + measured.touched - measured.from_overlay
    left = backfill_cost(max(0, rows - encoded), dim, rate, price_per_million)
    queries = measured.curve[-1].queries
    said = {
        "candidates": f"{encoded:,} of {rows:,} rows: candidates of the {queries:,} queries of the check"
        + (", and rows that the overlay had" if measured.overlay else "")
    }
    later = [
        f"{one.rows:,.0f} ({one.low:,.0f} to {one.high:,.0f}) after {one.queries:,} queries"
        for one in measured.predicted[:SHOWN]
        if encoded < rows
    ]
    return replace(
        left, arithmetic=said | ({"later": f"candidates: {'; '.join(later)}"} if later else {}) | left.arithmetic
    )


def _bytes(size: float) -> str:
    if size < 1000:
        return f"{size:g} bytes"
    power = min(int(math.log10(size)) // 3, len(UNITS))
    return f"{size / 1000**power:,.4g} {UNITS[power - 1]}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} minutes" if seconds < 7200 else f"{seconds / 3600:,.3g} hours"
