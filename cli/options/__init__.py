"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skipfill.cli import completion
from skipfill.cli.terminal.next_command import name_store, store_source
from skipfill.cli.terminal.printing import show_input

if TYPE_CHECKING:
    from skipfill.store.checks.policy import Policy
    from skipfill.store.parquet.items import ItemColumns
    from skipfill.store.storage.object_store import ObjectStore

OUTPUT = "Store and output"
COLUMNS = "Columns"
POLICY = "Requirements (default: as in the gallery's policy)"
REPORTS = "Reports"
"""Panels of the help that several commands have."""

Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="STORE",
        envvar="SKIPFILL_STORE",
        help="Store: a folder, or s3://bucket/prefix. Default: the nearest .skipfill/ in this folder or above.",
        rich_help_panel=OUTPUT,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.", rich_help_panel=OUTPUT)]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="Print only results and errors: no progress, no advice.", rich_help_panel=OUTPUT
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be written; write nothing.", rich_help_panel=OUTPUT)
]
GalleryName = Annotated[
    str, typer.Argument(metavar="GALLERY", help="Name of a registered gallery.", autocompletion=completion.galleries)
]
ModelName = Annotated[
    str, typer.Argument(metavar="MODEL", help="Name of a model in the store.", autocompletion=completion.models)
]
IdColumn = Annotated[str, typer.Option("--id", metavar="COLUMN", help="Column with the ids.", rich_help_panel=COLUMNS)]
LabelColumn = Annotated[
    str, typer.Option("--label", metavar="COLUMN", help="Column with the labels.", rich_help_panel=COLUMNS)
]
InputColumn = Annotated[
    str,
    typer.Option(
        "--input",
        metavar="COLUMN",
        help="Column to encode. Default: image, vector or text, or the only column of vectors.",
        rich_help_panel=COLUMNS,
    ),
]
BlendedVector = Annotated[
    str,
    typer.Option(
        "--old-vector",
        metavar="COLUMN",
        help="Column with the old encoder's vectors, for a blend that does not contain it, and for re-ranking. "
        "Default: none.",
        rich_help_panel=COLUMNS,
    ),
]
VectorColumn = Annotated[
    str, typer.Option("--vector", metavar="COLUMN", help="Column with the vectors.", rich_help_panel=COLUMNS)
]
JunitFile = Annotated[
    Path | None,
    typer.Option(
        "--junit", metavar="FILE", help="Write JUnit XML, for CI systems. Default: none.", rich_help_panel=REPORTS
    ),
]
HtmlFile = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE", help="Write one self-contained HTML page. Default: none.", rich_help_panel=REPORTS
    ),
]
GitHub = Annotated[
    bool,
    typer.Option(
        "--github", help="Print GitHub annotations, and append to the step's summary.", rich_help_panel=REPORTS
    ),
]

Metric = Annotated[
    str | None,
    typer.Option(
        metavar="METRIC",
        help="Metric that decides: CMC@K, recall@K, nDCG@K, mAP, MRR or TAR@FAR=RATE. New galleries: CMC@1.",
        rich_help_panel=POLICY,
        autocompletion=completion.metrics,
    ),
]
Margin = Annotated[
    float | None,
    typer.Option(
        metavar="N",
        min=0,
        max=0.99,
        help="How much worse a slice may be in the metric, from 0 to 0.99. New galleries: 0.02, which is two points.",
        rich_help_panel=POLICY,
    ),
]
Confidence = Annotated[
    float | None,
    typer.Option(
        metavar="N",
        min=0.5,
        max=0.999,
        help="Confidence that a pass or a fail needs, from 0.5 to 0.999. New galleries: 0.95.",
        rich_help_panel=POLICY,
    ),
]
NotWorse = Annotated[
    bool | None,
    typer.Option(
        "--not-worse/--better",
        help="All queries together must not be worse by the margin, or must be better. New galleries: better.",
        rich_help_panel=POLICY,
    ),
]
FlipBudget = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        min=0.0001,
        max=0.99,
        help="Fewer than this share of the queries may get worse (negative flips), from 0.0001 to 0.99. "
        "New galleries: no limit.",
        rich_help_panel=POLICY,
    ),
]
AcceptWorse = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SLICE",
        help="Slice that may get worse: seen, unseen, or a slice of the policy. The given ones replace those of the "
        "policy. Recorded. Repeatable. New galleries: none.",
        rich_help_panel=POLICY,
        autocompletion=completion.one_of("seen", "unseen"),
    ),
]
LeastQueries = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=2,
        help="Fewest queries with which a slice can pass. New galleries: 30.",
        rich_help_panel=POLICY,
    ),
]
MostLeftOut = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        min=0,
        max=1,
        help="Largest share of the queries that may be left out because they have no label, another label than "
        "their row, or nothing to find, from 0 to 1. New galleries: 0.05.",
        rich_help_panel=POLICY,
    ),
]


def with_options(policy: Policy, **given: object) -> Policy:
    """A policy with the options that were given; those that are None are left as they are."""
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return replace(policy, **{name: value for name, value in values.items() if value is not None})


def refuse_unconfirmed(name: str, confirm: str) -> None:
    """Raise `BadInput` unless the name of what is to be dropped was given twice."""
    from skipfill.store.errors import BadInput

    if confirm != name:
        found = repr(confirm) if confirm else "none"
        raise BadInput("--confirm", expected=f"the name {name}", found=found, hint=f"Add: --confirm {name}")


def opened(store: str | None, *, to_write: bool = False) -> ObjectStore:
    """The store that the options name.

    Args:
        to_write: refuse now, before long work, if no new object can be created there.
    """
    from skipfill.store.errors import Advice, BadInput
    from skipfill.store.storage.location import find_root, open_store, way_of_naming

    name_store(store)
    try:
        objects = open_store(find_root(store))
    except BadInput as error:
        if store is not None and isinstance(error.hint, Advice) and error.hint.key.startswith("make_store"):
            error.hint = Advice("named_store", source=store_source())
        raise
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
    """The columns of items as the options name them; a note says so where the only column of vectors is the input.

    Args:
        items: their files.
        other_than: a column of vectors that is not their input.
    """
    from skipfill.store.parquet.inputs import only_vector_column
    from skipfill.store.parquet.items import ItemColumns

    only = "" if input_column or not items else only_vector_column(items, other_than)
    show_input(only, quiet=quiet)
    return ItemColumns(id_column, label, input_column or only)
