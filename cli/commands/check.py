"""skipfill check"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

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
from skipfill.cli.reports.text import show_report
from skipfill.cli.terminal import advise, emit, progress

EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 3}


def check(
    gallery: GalleryName,
    name: ModelName,
    items: Annotated[list[Path], typer.Option(help="Held-out items: the queries. Repeatable.")],
    gallery_items: Annotated[
        list[Path] | None, typer.Option(help="Items of gallery rows, to measure new/new. Default: --items.")
    ] = None,
    ceiling: Annotated[str, typer.Option(help="Independent model: the update gain's ceiling, and the reindex.")] = "",
    judgements: Annotated[
        Path | None, typer.Option(help="What is relevant to which query: TREC or BEIR text, or Parquet.")
    ] = None,
    truth: Annotated[
        str, typer.Option(help="What is relevant: labels, judgements, or reindex (what one with --ceiling returns).")
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
    old_vector: Annotated[
        str, typer.Option(metavar="COLUMN", help="The old model's vectors of the queries, and of 32 rows or more.")
    ] = "",
    old_input: Annotated[
        str, typer.Option(metavar="COLUMN", help="Column that the old model encodes. Default: as the new one.")
    ] = "",
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
    most_left_out: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the queries that may lack a label or a row to be found.")
    ] = 0.05,
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
    from skipfill.compat.gate.check import check_model
    from skipfill.compat.gate.inputs import CheckInputs, Policy, SliceSpec
    from skipfill.compat.progress import Progress

    policy = Policy(
        metric=metric,
        confidence=confidence,
        margin=margin,
        better=not not_worse,
        flip_budget=flip_budget,
        accept_worse=tuple(accept_worse or []),
        least_queries=least_queries,
        most_left_out=most_left_out,
    )
    inputs = CheckInputs(
        items=items,
        gallery_items=gallery_items or [],
        ceiling=ceiling,
        truth=truth or ("judgements" if judgements else "labels"),
        judgements=judgements,
        depth=depth,
        identity=identity,
        old_vector=old_vector,
        old_input=old_input,
        slices=SliceSpec(slice or [], slice_by or [], least_queries),
        index=read_index(index) if index else None,
        thresholds=threshold or [],
        threshold_rule=threshold_rule,
        columns=item_columns(id_column, label, input_column),
    )
    objects = opened(store)
    refuse_unwritable(junit, html, github=github)
    with progress(quiet=quiet) as bar:
        report = check_model(objects, gallery, name, inputs, policy, Progress(bar.start, bar.advance))
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
