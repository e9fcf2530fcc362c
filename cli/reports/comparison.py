"""The checks of several models side by side: one table, and the first reason against each model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from skipfill.cli.reports.findings import bar_words, numbers, outcome_of
from skipfill.cli.terminal.printing import VERDICT_STYLE, table
from skipfill.store.checks.names import NEW_NEW, NEW_OLD, OLD_OLD, SEEN, UNSEEN

if TYPE_CHECKING:
    from skipfill.store.checks.report import Report, Slice

NUMBERS = (OLD_OLD, NEW_OLD, "change", NEW_NEW, "gain")


def comparison(reports: Sequence[Report]) -> Table:
    """A table with a row for the seen and one for the unseen queries of each report, in the metric that decides."""
    columns = ["model", "queries", *NUMBERS, "verdict"]
    rows = [_row(report, one) for report in reports for one in report.slices if one.name in (SEEN, UNSEEN)]
    return table(columns, rows, numbers=NUMBERS)


def objections(reports: Sequence[Report]) -> Iterator[Text]:
    """A line for each report that is not a pass: the first requirement that was not met."""
    width = max((len(report.model) for report in reports), default=0)
    for report in reports:
        unmet = [each for one in report.slices for each in one.requirements if each.verdict == report.verdict != "pass"]
        for each in unmet[:1]:
            verdict = (f"{report.verdict.upper()}  ", VERDICT_STYLE[report.verdict])
            said = each.claim if each.kind == "admission" else f"found {numbers(each)[0]}, {bar_words(each)}"
            yield Text.assemble(f"{report.model:{width}}  ", verdict, f"{each.slice} queries: {said}")


def _row(report: Report, one: Slice) -> list[object]:
    metric = str(report.policy["metric"])
    means = {cell.pair: cell.value.mean for cell in one.cells if cell.metric == metric}
    shown = {pair: f"{means[pair]:.3f}" if pair in means else "" for pair in (OLD_OLD, NEW_OLD, NEW_NEW)}
    change = f"{one.change[metric].mean:+.3f}" if one.queries else ""
    gain = one.gain.get(metric)
    return [
        report.model,
        one.name,
        shown[OLD_OLD],
        shown[NEW_OLD],
        Text(change, VERDICT_STYLE[outcome_of(one, report)]),
        shown[NEW_NEW],
        "" if gain is None else f"{gain.mean:+.2f}",
        Text(outcome_of(one, report), VERDICT_STYLE[outcome_of(one, report)]),
    ]
