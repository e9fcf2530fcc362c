"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skipfill.cli.terminal.next_command import name_store
from skipfill.cli.terminal.printing import show_next

if TYPE_CHECKING:
    from skipfill.store.checks.policy import Policy
    from skipfill.store.parquet.items import ItemColumns
    from skipfill.store.storage.object_store import ObjectStore

Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="SKIPFILL_STORE",
        help="The store: a folder, or the one with the .skipfill/ in it, or s3://bucket/prefix. "
        "Default: the nearest .skipfill/ upwards.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no advice: results and errors only.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be written, and write nothing.")]
GalleryName = Annotated[str, typer.Argument(metavar="GALLERY", help="Name of a registered gallery.")]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Name of a model in the store.")]
IdColumn = Annotated[str, typer.Option("--id", help="Column with the ids.")]
LabelColumn = Annotated[str, typer.Option("--label", help="Column with the labels.")]
InputColumn = Annotated[
    str, typer.Option("--input", help="Column to encode. Default: image, vector, text, or the only vectors.")
]
OldVector = Annotated[
    str, typer.Option(metavar="COLUMN", help="The old encoder's vectors of the items, for a blend without one.")
]
JunitFile = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML, for CI systems.")]
HtmlFile = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write one self-contained page.")]
GitHub = Annotated[bool, typer.Option("--github", help="Print GitHub annotations; append to the step's summary.")]

Metric = Annotated[
    str | None, typer.Option(help="Metric that decides: CMC@K, recall@K, nDCG@K, mAP, MRR, TAR@FAR=RATE.")
]
Margin = Annotated[float | None, typer.Option(min=0, max=0.99, help="How much worse a slice may be.")]
Confidence = Annotated[float | None, typer.Option(min=0.5, max=0.999, help="That a pass, and a fail, is right.")]
NotWorse = Annotated[
    bool | None,
    typer.Option("--not-worse/--better", help="All queries together need not be better, only not worse by the margin."),
]
FlipBudget = Annotated[
    float | None, typer.Option(min=0.0001, max=0.99, help="Largest share of queries that may flip for the worse.")
]
AcceptWorse = Annotated[
    list[str] | None, typer.Option(metavar="SLICE", help="A slice that may be worse. Recorded. Repeatable.")
]
LeastQueries = Annotated[int | None, typer.Option(min=2, help="Fewer in a slice never pass.")]
MostLeftOut = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Share of the queries that may lack a label or a row to be found."),
]


def with_options(policy: Policy, **given: object) -> Policy:
    """A policy with the options that were given; those that are None are left as they are."""
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return replace(policy, **{name: value for name, value in values.items() if value is not None})


def opened(store: str | None, *, to_write: bool = False) -> ObjectStore:
    """The store that the options name.

    Args:
        to_write: long work ends with a new object there: refuse now if none can be created.
    """
    from skipfill.store.storage.location import find_root, open_store, way_of_naming

    name_store(store)
    objects = open_store(find_root(store))
    if to_write:
        way_of_naming(objects.root)
    return objects


def item_columns(
    id_column: str,
    label: str,
    input_column: str,
    items: Sequence[Path] = (),
    *,
    quiet: bool = False,
    other_than: str = "",
) -> ItemColumns:
    """The columns of items as the options name them; the only one of vectors is the input, which is said.

    Args:
        items: their files.
        other_than: a column of vectors that is not their input.
    """
    from skipfill.store.parquet.inputs import only_vector_column
    from skipfill.store.parquet.items import ItemColumns

    only = "" if input_column or not items else only_vector_column(items, other_than)
    if only:
        show_next(f"Input: column {only}, the only one of vectors", quiet=quiet)
    return ItemColumns(id_column, label, input_column or only)
