"""A check's report for a terminal."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from skipfill.cli.reports.findings import (
    Outcome,
    check_name,
    flip_words,
    headline,
    lax,
    outcome_of,
    same_as_all,
    signed,
    way_of,
)
from skipfill.cli.reports.outlook import Outlook
from skipfill.cli.reports.sections.reranking import ROWS_TRIED, SEQUENCE, change_of, facts_of
from skipfill.cli.terminal.characters import one_line, visible
from skipfill.cli.terminal.next_command import quoted
from skipfill.cli.terminal.printing import VERDICT_STYLE, facts, table
from skipfill.store.checks.names import (
    ALL,
    CEILING,
    NEW_NEW,
    NEW_OLD,
    OLD_OLD,
    RELEASED_OLD,
    before_swap,
    is_of_every_check,
)
from skipfill.store.storage.layout import per_query_key

if TYPE_CHECKING:
    from skipfill.store.checks.report import IndexRecall, Interval, Report, Slice, Threshold
    from skipfill.store.checks.reranking import Reranked
    from skipfill.store.storage.address import Address

FLIPS_SHOWN = 6


def show_report(out: Console, report: Report, outlook: Outlook, root: Address) -> None:
    """The report as people read it: the verdict and its reason, a row for each slice, then the details.

    Args:
        root: of the store that has the results of each query.
    """
    out.print(
        Text.assemble(
            _styled(report.verdict, report.verdict.upper()),
            (f"  {way_of(report)} on gallery {report.gallery}, version {report.version}", "bold"),
        )
    )
    out.print(headline(report))
    for note in outlook.notes:
        out.print(Text.assemble(("note: ", "yellow"), visible(note)))
    out.print()
    out.print(_slices(report))
    out.print()
    for line in report.why:
        out.print(f"- {one_line(line)}")
    _show_cells(out, report)
    _show_flips(out, report)
    if report.rerank is not None:
        _show_reranking(out, report.rerank, report.policy["metric"])
    for cutoff in report.thresholds:
        _show_threshold(out, cutoff)
    if report.index is not None:
        _show_index(out, report.index)
    if report.mixed or report.warnings or lax(report):
        out.print()
    for warning in [*([report.mixed] if report.mixed else []), *lax(report), *report.warnings]:
        out.print(Text.assemble(("note: ", "yellow"), visible(warning)))
    out.print()
    for line in _legend(report, root):
        out.print(line, style="dim")


def _slices(report: Report) -> object:
    """A row for each slice: its verdict, and its values in the metric that decides."""
    metric = report.policy["metric"]
    rows: list[list[object]] = []
    is_released = before_swap(_pairs(report)) == RELEASED_OLD
    shown = (OLD_OLD, RELEASED_OLD, NEW_OLD) if is_released else (OLD_OLD, NEW_OLD)
    for one in report.slices:
        cells = {cell.pair: cell.value.mean for cell in one.cells if cell.metric == metric}
        means = [f"{cells[pair]:.3f}" if pair in cells else "" for pair in shown]
        change = show_interval(one.change[metric], sign=True) if one.queries else Text()
        name = f"{one_line(one.name)} (the same queries)" if same_as_all(one, report) else one_line(one.name)
        rows.append([Text(*_styled(outcome_of(one, report))), f"{one.queries:,}", *means, change, name])
    of_pairs = ["old", "now", "new"] if is_released else ["old", "new"]
    columns = ["verdict", "queries", *of_pairs, f"change in {metric}", "slice"]
    return table(columns, rows, numbers=columns[1:-2])


def _pairs(report: Report) -> set[str]:
    return {cell.pair for one in report.slices for cell in one.cells}


def _show_cells(out: Console, report: Report) -> None:
    """Every pair of query model and gallery, of the groups that each check has."""
    for one in report.slices:
        if one.queries and is_of_every_check(one.name) and not same_as_all(one, report):
            out.print()
            out.print(Text.assemble((one_line(one.name), "bold"), f", {_count(one)}"))
            out.print(_cells(one, report))


def _show_flips(out: Console, report: Report) -> None:
    worse, _ = flip_words(report)
    flips = next((one.flips for one in report.slices if one.name == ALL and one.queries), None)
    if flips is not None:
        out.print()
        worse_queries = "1 query" if flips["negative"] == 1 else f"{flips['negative']:,} queries"
        pair = before_swap(_pairs(report))
        out.print(f"{worse_queries} got worse than {pair} and {flips['positive']:,} better ({report.flip_metric})")
    if report.flips.negative:
        first = one_line(", ".join(report.flips.negative[:FLIPS_SHOWN]))
        out.print(f"{worse}: {first}{', ...' if len(report.flips.negative) > FLIPS_SHOWN else ''}")


def _legend(report: Report, root: Address) -> list[str]:
    """The check and its queries, and the meaning of the intervals."""
    sure = f"{report.policy.get('confidence', 0.95):.0%}"
    asked = f", queries {report.queries.digest}" if report.queries.digest else ""
    lines = [
        f"check {check_name(report)}; truth: {report.truth}{asked}; old queries: {report.baseline}",
        f"The two numbers after a change are one-sided {sure} bounds; those after a mean or gain, a {sure} interval.",
    ]
    return [*lines, f"Results of each query: {_results(report, root)}"] if report.saved else lines


def _results(report: Report, root: Address) -> str:
    """The file with the results of each query, as a shell takes it in the current folder."""
    place = root / per_query_key(report.gallery, report.id)
    if isinstance(place, Path):
        with suppress(OSError, ValueError):  # no current folder, or one that the store is not below
            place = place.relative_to(Path.cwd())
    return quoted(place)


def _show_threshold(out: Console, threshold: Threshold) -> None:
    new, rate = threshold.new, threshold.new_rate
    out.print()
    out.print(
        f"threshold {threshold.old:g} becomes {new.mean:.4f} ({new.low:.4f} to {new.high:.4f}): "
        f"{threshold.rule} {threshold.old_rate:.3g} as before, on other queries {rate.low:.2g} to {rate.high:.2g}"
        + (f"; TAR {threshold.tar['old']:.3f} before, {threshold.tar['new']:.3f} after" if threshold.tar else "")
    )
    for warning in threshold.warnings:
        out.print(Text.assemble(("note: ", "yellow"), visible(warning)))


def _show_reranking(out: Console, measured: Reranked, metric: str) -> None:
    out.print()
    out.print(Text(str(measured.way), "bold"))
    out.print(facts(list(facts_of(measured).items())))
    if measured.tried:
        out.print()
        out.print(_tried(measured, metric))
        for said in (ROWS_TRIED, SEQUENCE):
            out.print(said, style="dim")


def _tried(measured: Reranked, metric: str) -> object:
    columns = ["verdict", "candidates", metric, "change", "rows", "encoded"]
    rows = [
        [
            Text(*_styled(one.verdict)),
            Text(f"{one.k:,}", "bold" if one.k == measured.recommended.k else ""),
            f"{one.value:.3f}",
            show_interval(change_of(one), sign=True),
            f"{one.encoded:,}",
            f"{one.now:,}",
        ]
        for one in measured.tried
    ]
    return table(columns, rows, numbers=[columns[1], columns[2], *columns[4:]])


def _show_index(out: Console, index: IndexRecall) -> None:
    settings, change = index.settings, index.change
    out.print()
    out.print(
        f"HNSW, M {settings['neighbours']}, efSearch {settings['ef_search']}, on {index.rows:,} of "
        f"{index.gallery_rows:,} rows: recall@{index.k} old {index.recall['old'].mean:.3f}, new "
        f"{index.recall['new'].mean:.3f} ({change.mean:+.3f} {change.low:+.3f} {change.high:+.3f})"
    )
    needed = (
        f"efSearch {index.effort_needed} gives new queries the old recall"
        if index.effort_needed is not None
        else f"no efSearch up to {index.most_effort} gives new queries the old recall"
    )
    shown = {side: "unknown" if one is None else f"{one:.1f}" for side, one in index.dimension.items()}
    out.print(f"{needed}; local dimension old {shown['old']}, new {shown['new']}")
    for warning in index.warnings:
        out.print(Text.assemble(("note: ", "yellow"), visible(warning)))


def _count(one: Slice) -> str:
    shown = f"{one.queries:,} queries"
    return shown if one.units == one.queries else f"{shown} in {one.units:,} clusters"


def _styled(outcome: Outcome, shown: str = "") -> tuple[str, str]:
    return shown or outcome, VERDICT_STYLE[outcome]


def _cells(one: Slice, report: Report) -> object:
    metrics = list(dict.fromkeys((report.policy["metric"], "CMC@1", "mAP", "CMC@5")))[:3]
    shown = partial(show_interval, sign=True)
    rows: list[list[object]] = []
    for pair in dict.fromkeys(cell.pair for cell in one.cells):
        name = f"ceiling ({report.ceiling})" if pair == CEILING else pair
        values = {cell.metric: cell.value for cell in one.cells if cell.pair == pair}
        rows.append([name, *(show_interval(values[metric]) for metric in metrics)])
    rows.append(["change", *(shown(one.change[metric]) for metric in metrics)])
    gains = [one.gain[metric] for metric in metrics]
    if all(gain is None for gain in gains) and not any(cell.pair in (NEW_NEW, CEILING) for cell in one.cells):
        return table(["query/gallery", *metrics], rows)  # nothing was encoded again, so there is nothing to gain from
    rows.append(["update gain", *("undefined" if gain is None else shown(gain) for gain in gains)])
    return table(["query/gallery", *metrics], rows)


def show_interval(value: Interval, *, sign: bool = False) -> Text:
    """`.812 .801-.823`, with signs where a difference is meant."""
    if sign:
        return Text.assemble(f"{signed(value.mean)} ", (f"{signed(value.low)} {signed(value.high)}", "dim"))
    return Text.assemble(f"{value.mean:.3f} ", (f"{value.low:.3f}-{value.high:.3f}", "dim"))
