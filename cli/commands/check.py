"""skipfill check"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from skipfill.cli.options import (
    AcceptWorse,
    Confidence,
    FlipBudget,
    GalleryName,
    GitHub,
    HtmlFile,
    IdColumn,
    InputColumn,
    Json,
    JunitFile,
    LabelColumn,
    LeastQueries,
    Margin,
    Metric,
    ModelName,
    MostLeftOut,
    NotWorse,
    Quiet,
    Store,
    item_columns,
    opened,
    with_options,
)
from skipfill.cli.terminal.printing import emit, progress, show_next

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
        str,
        typer.Option(help="labels, judgements, reindex (by --ceiling or --truth-vector), or neighbours (agreement)."),
    ] = "",
    depth: Annotated[int, typer.Option(min=1, help="How many first rows of a reindex, or neighbours.")] = 10,
    metric: Metric = None,
    margin: Margin = None,
    confidence: Confidence = None,
    not_worse: NotWorse = None,
    flip_budget: FlipBudget = None,
    slice: Annotated[
        list[str] | None, typer.Option(metavar="SQL", help="Queries to judge apart: lang = 'en'. Repeatable.")
    ] = None,
    slice_by: Annotated[
        list[str] | None, typer.Option(metavar="SQL", help="Each value of a column is a slice. Repeatable.")
    ] = None,
    identity: Annotated[
        str, typer.Option(metavar="SQL", help="Column whose values are drawn as a whole: person, product, ...")
    ] = "",
    accept_worse: AcceptWorse = None,
    old_vector: Annotated[
        str, typer.Option(metavar="COLUMN", help="The old model's vectors of the queries, and of 32 rows or more.")
    ] = "",
    old_input: Annotated[
        str, typer.Option(metavar="COLUMN", help="Column that the old model encodes. Default: as the new one.")
    ] = "",
    truth_vector: Annotated[
        str, typer.Option(metavar="COLUMN", help="An independent model's vectors of queries and rows: the reindex.")
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
    least_queries: LeastQueries = None,
    most_left_out: MostLeftOut = None,
    instead_of: Annotated[
        list[str] | None,
        typer.Option(metavar="CHECK", help="A check that did not pass, on queries that were wrong. Repeatable."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why these queries are better than those of --instead-of.")] = "",
    no_save: Annotated[
        bool, typer.Option("--no-save", help="Write nothing to the store: the check counts for no swap.")
    ] = False,
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
    other classes, and every slice asked for, must each not be worse by the margin. What is not given here is
    as in the gallery's policy.

    Example: skipfill check products v2 --items heldout.parquet
    """
    from skipfill.cli.reports import write_reports
    from skipfill.cli.reports.files import refuse_unwritable
    from skipfill.cli.reports.findings import next_command
    from skipfill.cli.reports.text import show_report
    from skipfill.compat.evaluation.index.settings import read_index
    from skipfill.compat.gate.check import check_model
    from skipfill.compat.gate.inputs import CheckInputs, SliceSpec
    from skipfill.compat.progress import Progress
    from skipfill.store.galleries.log import latest

    objects = opened(store)
    of_gallery = latest(objects, gallery).policy_in_force
    policy = with_options(
        of_gallery,
        metric=metric or (f"recall@{depth}" if truth == "neighbours" else None),
        confidence=confidence,
        margin=margin,
        better=None if not_worse is None else not not_worse,
        flip_budget=flip_budget,
        accept_worse=accept_worse,
        least_queries=least_queries,
        most_left_out=most_left_out,
    )
    predicates = [*policy.slices, *(one for one in slice or [] if one not in policy.slices)]
    inputs = CheckInputs(
        items=items,
        gallery_items=gallery_items or [],
        ceiling=ceiling,
        truth=truth or ("judgements" if judgements else of_gallery.truth or "labels"),
        judgements=judgements,
        depth=depth,
        identity=identity,
        old_vector=old_vector,
        old_input=old_input,
        truth_vector=truth_vector,
        slices=SliceSpec(predicates, slice_by or [], policy.least_queries),
        index=read_index(index) if index else None,
        thresholds=threshold or [],
        threshold_rule=threshold_rule,
        columns=item_columns(id_column, label, input_column, items, quiet=quiet, other_than=old_vector),
        instead_of=instead_of or [],
        reason=reason,
    )
    refuse_unwritable(junit, html, github=github, inputs=inputs.files, store=objects.root)
    with progress(quiet=quiet) as bar:
        report = check_model(objects, gallery, name, inputs, policy, Progress(bar.start, bar.advance), save=not no_save)
    write_reports(report, junit_file=junit, html_file=html, github=github, json=json)
    document = {"check": asdict(report), "verdict": report.verdict}
    emit(document, as_json=json, show=lambda out: show_report(out, report), exit_code=EXIT_CODES[report.verdict])
    if report.verdict == "pass":
        show_next(f"Next: {next_command(report)}", quiet=quiet)
    raise typer.Exit(EXIT_CODES[report.verdict])
