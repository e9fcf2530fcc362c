"""skipfill check"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from skipfill.cli.options import (
    GalleryName,
    GitHub,
    HtmlFile,
    IdColumn,
    InputColumn,
    Json,
    JunitFile,
    LabelColumn,
    ModelName,
    Quiet,
    Store,
    item_columns,
    opened,
)
from skipfill.cli.reports import refuse_unwritable, write_reports
from skipfill.cli.reports.characters import one_line
from skipfill.cli.terminal import VERDICT_STYLE, advise, emit, progress, table

if TYPE_CHECKING:
    from skipfill.store.checks.report import IndexRecall, Interval, Report, Slice, Threshold, Verdict

EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 3}
FLIPS_SHOWN = 6
ALWAYS = ("all", "trained-on", "others")


def check(
    gallery: GalleryName,
    name: ModelName,
    items: Annotated[list[Path], typer.Option(help="Held-out items: the queries. Repeatable.")],
    gallery_items: Annotated[
        list[Path] | None, typer.Option(help="Items of gallery rows, to measure new/new. Default: --items.")
    ] = None,
    ceiling: Annotated[str, typer.Option(help="Independent model: the update gain's ceiling.")] = "",
    judgements: Annotated[
        Path | None, typer.Option(help="What is relevant to which query: TREC or BEIR text, or Parquet.")
    ] = None,
    truth: Annotated[
        str, typer.Option(help="What is relevant: labels, judgements, or reindex (what a full one would return).")
    ] = "",
    depth: Annotated[int, typer.Option(min=1, help="How many first rows of a reindex are relevant.")] = 10,
    metric: Annotated[
        str, typer.Option(help="Metric that decides: CMC@K, recall@K, nDCG@K, mAP, MRR, TAR@FAR=RATE.")
    ] = "CMC@1",
    margin: Annotated[float, typer.Option(min=0, max=0.99, help="How much worse a slice may be.")] = 0.02,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="That a pass, and a fail, is right.")] = 0.95,
    not_worse: Annotated[
        bool, typer.Option("--not-worse", help="All queries together need not be better, only not worse by the margin.")
    ] = False,
    flip_budget: Annotated[
        float | None, typer.Option(min=0.0001, max=0.99, help="Largest share of queries right before, wrong after.")
    ] = None,
    slice: Annotated[
        list[str] | None, typer.Option(metavar="SQL", help="Queries to judge apart: lang = 'en'. Repeatable.")
    ] = None,
    slice_by: Annotated[
        list[str] | None, typer.Option(metavar="SQL", help="Each value of a column is a slice. Repeatable.")
    ] = None,
    identity: Annotated[
        str, typer.Option(metavar="SQL", help="Column whose values are drawn as a whole: person, product, ...")
    ] = "",
    accept_worse: Annotated[
        list[str] | None, typer.Option(metavar="SLICE", help="A slice that may be worse. Recorded. Repeatable.")
    ] = None,
    index: Annotated[
        str, typer.Option(metavar="hnsw[:NAME=VALUE,...]", help="Also measure what such an index does to new queries.")
    ] = "",
    threshold: Annotated[
        list[float] | None, typer.Option(min=-1, max=1, help="Cut-off on old scores, to be transferred. Repeatable.")
    ] = None,
    threshold_rule: Annotated[
        str, typer.Option(help="What stays: far, the share accepted of rows not relevant; or match-rate, of all.")
    ] = "far",
    least_queries: Annotated[int, typer.Option(min=2, help="Fewer in a slice never pass.")] = 30,
    id_column: IdColumn = "id",
    label: LabelColumn = "label",
    input_column: InputColumn = "",
    junit: JunitFile = None,
    html: HtmlFile = None,
    github: GitHub = False,
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a model on a stored gallery. Exit 0: pass, 1: fail, 3: not enough evidence.

    All queries together must be better than now; those of classes the model was trained on, those of all
    other classes, and every slice asked for, must each not be worse by the margin.

    Example: skipfill check products v2 --items heldout.parquet
    """
    from skipfill.compat.evaluation.index.settings import read_index
    from skipfill.compat.evaluation.statistics.threshold_transfer import rule
    from skipfill.compat.gate.check import check_model
    from skipfill.compat.gate.inputs import TRUTHS, CheckInputs
    from skipfill.compat.gate.slices import SlicesAsked
    from skipfill.compat.gate.verdict import Policy
    from skipfill.compat.progress import Stages
    from skipfill.store.errors import unknown_name

    truth = truth or ("judgements" if judgements else "labels")
    if truth not in TRUTHS:
        raise unknown_name("truth", truth, TRUTHS, where="--truth")
    policy = Policy(
        metric=metric,
        confidence=confidence,
        margin=margin,
        better=not not_worse,
        flip_budget=flip_budget,
        accept_worse=tuple(accept_worse or []),
        least_queries=least_queries,
    )
    inputs = CheckInputs(
        items=items,
        gallery_items=gallery_items or [],
        ceiling=ceiling,
        truth=truth,
        judgements=judgements,
        depth=depth,
        identity=identity,
        slices=SlicesAsked(slice or [], slice_by or [], least_queries),
        index=read_index(index) if index else None,
        thresholds=threshold or [],
        threshold_rule=rule(threshold_rule),
        columns=item_columns(id_column, label, input_column),
    )
    objects = opened(store)
    refuse_unwritable(junit, html, github=github)
    with progress(quiet=quiet) as bar:
        report = check_model(objects, gallery, name, inputs, policy, Stages(bar.start, bar.advance))
    write_reports(report, junit_file=junit, html_file=html, github=github, json=json)
    code = EXIT_CODES[report.verdict]
    emit(
        {"check": asdict(report), "verdict": report.verdict},
        as_json=json,
        show=lambda out: show_report(out, report),
        exit_code=code,
    )
    if report.verdict == "pass":
        advise(f"Next: skipfill swap {gallery} {name}", quiet=quiet)
    raise typer.Exit(code)


def show_report(out: Console, report: Report) -> None:
    """The report as people read it: the groups that are always there, the slices asked for, the verdict and why."""
    out.print(f"Check {report.id}: {report.model} on gallery {report.gallery}, version {report.version}", style="bold")
    if report.mixed:
        out.print(report.mixed)
    groups = [one for one in report.slices if one.name in ALWAYS]
    for one in groups:
        out.print(Text.assemble((f"\n{one_line(one.name)}", "bold"), f", {_count(one)}: ", _styled(one.verdict)))
        if one.queries:
            out.print(_cells(one, report))
            flips = one.flips
            out.print(f"worse for {flips['negative']:,} queries, better for {flips['positive']:,} (CMC@1)")
    if len(groups) < len(report.slices):
        out.print()
        out.print(_slices([one for one in report.slices if one not in groups], report.policy["metric"]))
    if report.flips.negative:
        first = one_line(", ".join(report.flips.negative[:FLIPS_SHOWN]))
        out.print(f"\nright before, wrong after: {first}{', ...' if len(report.flips.negative) > FLIPS_SHOWN else ''}")
    for cutoff in report.thresholds:
        _show_threshold(out, cutoff)
    if report.index is not None:
        _show_index(out, report.index)
    for warning in report.warnings:
        out.print(Text.assemble(("\nnote: ", "yellow"), warning))
    out.print(Text.assemble("\n", _styled(report.verdict, report.verdict.upper())))
    for line in report.why:
        out.print(f"- {one_line(line)}")
    out.print(f"old queries: {report.baseline}; per query: checks/{report.gallery}/{report.id}/queries.parquet")


def _slices(slices: list[Slice], metric: str) -> object:
    rows: list[list[object]] = []
    for one in slices:
        cells = {cell.pair: cell.value.mean for cell in one.cells if cell.metric == metric}
        means = [f"{cells[pair]:.3f}" if pair in cells else "" for pair in ("old/old", "new/old")]
        change = show_interval(one.change[metric], sign=True) if one.queries else Text()
        rows.append([Text(*_styled(one.verdict)), f"{one.queries:,}", *means, change, one_line(one.name)])
    columns = ["verdict", "queries", "old/old", "new/old", f"change in {metric}", "slice"]
    return table(columns, rows, numbers=columns[1:4])


def _show_threshold(out: Console, found: Threshold) -> None:
    rate = found.new_rate
    out.print(
        f"\ncut-off {found.old:g} becomes {found.new.mean:.4f} ({found.new.low:.4f} to {found.new.high:.4f}): "
        f"{found.rule} {found.old_rate:.3g} as before, on other queries {rate.low:.2g} to {rate.high:.2g}"
        + (f"; TAR {found.tar['old']:.3f}, then {found.tar['new']:.3f}" if found.tar else "")
    )
    for warning in found.warnings:
        out.print(Text.assemble(("note: ", "yellow"), warning))


def _show_index(out: Console, found: IndexRecall) -> None:
    settings, change = found.settings, found.change
    out.print(
        f"\nHNSW, M {settings['neighbours']}, efSearch {settings['ef_search']}, on {found.rows:,} of "
        f"{found.gallery_rows:,} rows: recall@{found.k} old {found.recall['old'].mean:.3f}, new "
        f"{found.recall['new'].mean:.3f} ({change.mean:+.3f} {change.low:+.3f} {change.high:+.3f})"
    )
    needed = (
        f"efSearch {found.effort_needed} gives new queries the old recall"
        if found.effort_needed is not None
        else f"no efSearch up to {found.most_effort} gives new queries the old recall"
    )
    shown = {side: "unknown" if one is None else f"{one:.1f}" for side, one in found.dimension.items()}
    out.print(f"{needed}; local dimension old {shown['old']}, new {shown['new']}")
    for warning in found.warnings:
        out.print(Text.assemble(("note: ", "yellow"), warning))


def _count(one: Slice) -> str:
    shown = f"{one.queries:,} queries"
    return shown if one.units == one.queries else f"{shown} in {one.units:,} units"


def _styled(verdict: Verdict, shown: str = "") -> tuple[str, str]:
    return shown or verdict, VERDICT_STYLE[verdict]


def _cells(one: Slice, report: Report) -> object:
    metrics = list(dict.fromkeys((report.policy["metric"], "CMC@1", "mAP", "CMC@5")))[:3]
    shown = partial(show_interval, sign=True)
    rows: list[list[object]] = []
    for pair in dict.fromkeys(cell.pair for cell in one.cells):
        name = f"ceiling ({report.ceiling})" if pair == "ceiling" else pair
        values = {cell.metric: cell.value for cell in one.cells if cell.pair == pair}
        rows.append([name, *(show_interval(values[metric]) for metric in metrics)])
    rows.append(["change", *(shown(one.change[metric]) for metric in metrics)])
    gains = [one.gain[metric] for metric in metrics]
    rows.append(["update gain", *("undefined" if gain is None else shown(gain) for gain in gains)])
    return table(["query/gallery", *metrics], rows)


def show_interval(value: Interval, *, sign: bool = False) -> Text:
    """`.812 .801-.823`, with signs where a difference is meant."""
    if sign:
        return Text.assemble(f"{value.mean:+.3f} ", (f"{value.low:+.3f} {value.high:+.3f}", "dim"))
    return Text.assemble(f"{value.mean:.3f} ", (f"{value.low:.3f}-{value.high:.3f}", "dim"))
