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
    IdColumn,
    InputColumn,
    Json,
    LabelColumn,
    ModelName,
    Quiet,
    Store,
    item_columns,
    opened,
)
from skipfill.cli.terminal import VERDICT_STYLE, advise, emit, progress, table

if TYPE_CHECKING:
    from skipfill.store.checks import Interval, Report, Slice, Verdict

EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 3}


def check(
    gallery: GalleryName,
    name: ModelName,
    items: Annotated[list[Path], typer.Option(help="Labelled held-out items: the queries. Repeatable.")],
    gallery_items: Annotated[
        list[Path] | None, typer.Option(help="Items of gallery rows, to measure new/new. Default: --items.")
    ] = None,
    ceiling: Annotated[str, typer.Option(help="Independent model: the update gain's ceiling.")] = "",
    metric: Annotated[str, typer.Option(help="Metric that decides: CMC@1, CMC@5 or mAP.")] = "CMC@1",
    margin: Annotated[float, typer.Option(min=0, max=1, help="How much worse a slice may be.")] = 0.02,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the bootstrap intervals.")] = 0.95,
    accept_worse: Annotated[
        list[str] | None, typer.Option(help="Slice that may be worse: trained-on or others. Recorded.")
    ] = None,
    id_column: IdColumn = "id",
    label: LabelColumn = "label",
    input_column: InputColumn = "",
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a model on a stored gallery. Exit 0: pass, 1: fail, 3: not enough evidence.

    All queries together must be better than now; those of classes the model was trained on, and those of
    all other classes, must each not be worse by more than the margin.

    Example: skipfill check products v2 --items heldout.parquet
    """
    from skipfill.compat.check import OTHERS, TRAINED, check_model
    from skipfill.compat.check_inputs import CheckInputs
    from skipfill.compat.evidence import Policy
    from skipfill.compat.metrics import METRICS
    from skipfill.compat.stages import Stages
    from skipfill.store.errors import unknown_name

    if metric not in METRICS:
        raise unknown_name("metric", metric, METRICS)
    for one in accept_worse or []:
        if one not in (TRAINED, OTHERS):
            raise unknown_name("slice", one, [TRAINED, OTHERS])
    policy = Policy(metric=metric, confidence=confidence, margin=margin, accept_worse=tuple(accept_worse or []))
    inputs = CheckInputs(items, gallery_items or [], ceiling, item_columns(id_column, label, input_column))
    objects = opened(store)
    with progress(quiet=quiet) as bar:
        report = check_model(objects, gallery, name, inputs, policy, Stages(bar.start, bar.advance))
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
    """The report as people read it: a block for each slice, then the verdict and why."""
    out.print(f"Check {report.id}: {report.model} on gallery {report.gallery}, version {report.version}", style="bold")
    for one in report.slices:
        out.print(Text.assemble((f"\n{one.name}", "bold"), f", {one.queries:,} queries: ", _styled(one.verdict)))
        out.print(_cells(one, report))
        flips = one.flips
        out.print(f"worse for {flips['negative']:,} queries, better for {flips['positive']:,} (CMC@1)")
    for warning in report.warnings:
        out.print(Text.assemble(("\nnote: ", "yellow"), warning))
    out.print(Text.assemble("\n", _styled(report.verdict, report.verdict.upper()), ": ", "; ".join(report.why)))
    out.print(f"old queries: {report.baseline}; per query: checks/{report.gallery}/{report.id}/queries.parquet")


def _styled(verdict: Verdict, shown: str = "") -> tuple[str, str]:
    return shown or verdict, VERDICT_STYLE[verdict]


def _cells(one: Slice, report: Report) -> object:
    metrics = list(one.change)
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
