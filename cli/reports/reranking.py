"""Re-ranking in a check's report, in words: what it took, and what it will take."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skipfill.store.checks.reranking import Reranked, TouchedRows

FINDING = {"old": "the old model's query", "view": "the model's query in its view"}


def facts_of(measured: Reranked) -> dict[str, str]:
    """What was measured, a line each."""
    source = f"{measured.from_overlay:,} from version {measured.overlay} of the overlay" if measured.overlay else ""
    made = f"{measured.encoded:,} encoded{' and kept' if measured.kept else ''}" if measured.encoded else ""
    without = f"{measured.without_vector:,} without a new vector, which keep their places"
    rows = ", ".join(filter(None, [source, made, without if measured.without_vector else ""]))
    took = f"{measured.milliseconds:.2g} ms more a query, with its rows at hand"
    rate = f"; {measured.items_per_second:,.0f} items a second here" if measured.items_per_second else ""
    facts = {
        "candidates": f"{measured.way.k:,} rows a query, found by {FINDING[measured.way.candidates]}",
        "rows": f"{measured.touched:,} of {measured.gallery_rows:,} are candidates: {rows}",
        "items to encode": f"{measured.cold:.3g} a query with an empty overlay, {measured.warm:.3g} with this one",
        "time": took + rate,
        "rows touched": "; ".join(_after(one, measured) for one in _shown(measured)),
    }
    if measured.places_without:
        facts["not re-ranked"] = f"{measured.places_without:.0%} of the candidates, for lack of a new vector"
    return facts


def _shown(measured: Reranked) -> list[TouchedRows]:
    """A few points: some measured, the last of which is all queries, and the first that are predicted."""
    return [*measured.curve[len(measured.curve) // 2 :: 3], *measured.curve[-1:], *measured.predicted[:3]]


def _after(one: TouchedRows, measured: Reranked) -> str:
    share, low, high = (rows / measured.gallery_rows for rows in (one.rows, one.low, one.high))
    band = f" ({low:.0%} to {high:.0%})" if one in measured.predicted else ""
    return f"{share:.0%}{band} after {one.queries:,} queries"
