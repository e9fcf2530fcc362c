"""skipfill matrix"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from skipfill.cli import completion
from skipfill.cli.options import IdColumn, InputColumn, Json, LabelColumn, Quiet, Store, item_columns, opened
from skipfill.cli.terminal.printing import emit, table
from skipfill.cli.terminal.progress import progress
from skipfill.compat.metrics.always import ALWAYS

if TYPE_CHECKING:
    from skipfill.compat.evaluation.sequences.matrix import SequenceReport

COLUMNS = 9  # of the matrix side by side, so that they fit into 80 characters
MEANING = {
    "AC": "share of new/old cells that are at least as high as old/old",
    "AM": "mean of all cells",
    "backward": "last model's queries: earlier galleries minus its own",
    "forward": "queries on the previous gallery minus on their own",
}


def matrix(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODELS", help="Models in order, the earliest first.", autocompletion=completion.models),
    ],
    items: Annotated[
        list[Path], typer.Option(metavar="FILE", help="Labelled items, which are the queries. Repeatable.")
    ],
    gallery_items: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Labelled items of the galleries. Repeatable. Default: --items; no query then finds itself.",
        ),
    ] = None,
    templates: Annotated[
        bool,
        typer.Option("--templates", help="One gallery row for each class, the mean of its items, as in papers."),
    ] = False,
    metric: Annotated[
        str,
        typer.Option(
            metavar="METRIC",
            help=f"Metric to show: {', '.join(ALWAYS)}.",
            autocompletion=completion.one_of(*ALWAYS),
        ),
    ] = "CMC@1",
    id_column: IdColumn = "id",
    label: LabelColumn = "label",
    input_column: InputColumn = "",
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure each model of a sequence on its own and all earlier galleries.

    A row is the model of the queries, a column the model that encoded the gallery.

    Example: skipfill matrix v1 v2 v3 --items heldout.parquet --gallery-items items.parquet
    """
    from skipfill.cli.documents.checks import MatrixDocument
    from skipfill.compat.evaluation.sequences.matrix import measure_sequence
    from skipfill.compat.progress import Progress
    from skipfill.store.errors import Parameter, unknown_name
    from skipfill.store.parquet.items import open_items

    if metric not in ALWAYS:
        raise unknown_name("metric", metric, ALWAYS, where=Parameter("metric"))
    columns = item_columns(id_column, label, input_column, items, quiet=quiet)
    queries, gallery = open_items(items, columns), open_items(gallery_items or items, columns)
    with progress(quiet=quiet) as bar:
        stages = Progress(bar.start, bar.advance)
        report = measure_sequence(opened(store), models, queries, gallery, stages, templates=templates)
    emit(MatrixDocument(report.described()), as_json=json, show=lambda out: show_report(out, report, metric))


def show_report(out: Console, report: SequenceReport, metric: str) -> None:
    """The lower triangle in parts that fit the line, then its summary."""
    out.print(f"{metric} of {report.queries:,} queries among {report.gallery_rows:,} gallery rows", style="bold")
    if report.left_out:
        out.print(
            Text.assemble(
                ("note: ", "yellow"),
                f"{report.left_out:,} queries were left out: the gallery has no row of their label",
            )
        )
    for start in range(0, len(report.models), COLUMNS):
        stop = min(start + COLUMNS, len(report.models))
        numbers = [str(column + 1) for column in range(start, stop)]
        rows = [
            [str(row + 1), name, *(_cell(report, metric, row, column) for column in range(start, min(row + 1, stop)))]
            for row, name in enumerate(report.models)
            if row >= start
        ]
        padded = [[*row, *[""] * (2 + len(numbers) - len(row))] for row in rows]
        out.print("", table(["", "queries by", *numbers], padded, numbers=numbers), sep="\n")
    out.print("Column: the model of the gallery. <: worse than that model's own queries.")
    out.print()
    summary = report.summary(metric)
    rows = [[name, "undefined" if value is None else f"{value:.3f}", MEANING[name]] for name, value in summary.items()]
    out.print(table(["summary", metric, "meaning"], rows, numbers=[metric]))


def _cell(report: SequenceReport, metric: str, row: int, column: int) -> Text:
    value, bar = report.matrices[metric][[row, column], column]
    return Text(f"{value:.3f}".lstrip("0")[:4] + ("<" if value < bar else " "), "red" if value < bar else "")
