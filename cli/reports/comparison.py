"""The checks of the demo's methods beside each other, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from skipfill.cli.terminal.printing import VERDICT_STYLE, table

PAIRS = ("old/old", "new/old", "new/new", "ceiling")
DECIDING = "CMC@1"
"""The metric of the verdicts."""
SLICES = {
    "seen": "queries of characters the new model was trained on",
    "unseen": "queries of characters that neither model was trained on",
    "all": "all queries",
}


def comparison(reports: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Table]]:
    """A title and a table for each slice and metric, with one row a method.

    Args:
        reports: method -> its check's report as a JSON document.
    """
    for name, meaning in SLICES.items():
        slices = {
            method: next(part for part in report["slices"] if part["name"] == name)
            for method, report in reports.items()
        }
        queries = next(iter(slices.values()))["queries"]
        for metric in (DECIDING, "mAP"):
            columns = ["method", *PAIRS, "update gain", *(["verdict"] if metric == DECIDING else [])]
            rows = [[method, *_cells(part, metric)] for method, part in slices.items()]
            yield f"{metric}, {meaning} ({queries:,})", table(columns, rows, numbers=PAIRS)


def _cells(part: Mapping[str, Any], metric: str) -> list[object]:
    means = {cell["pair"]: cell["value"]["mean"] for cell in part["cells"] if cell["metric"] == metric}
    gain, verdict = part["gain"][metric], part["verdict"]
    shown = Text("undefined")
    if gain is not None:
        shown = Text.assemble(f"{gain['mean']:+.2f} ", (f"{gain['low']:+.2f} {gain['high']:+.2f}", "dim"))
    decided = [Text(verdict, VERDICT_STYLE[verdict])] if metric == DECIDING else []
    return [*(f"{means[pair]:.3f}" for pair in PAIRS), shown, *decided]
