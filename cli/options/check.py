"""The options of `skipfill check`; `skipfill advise` has some of them too."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skipfill.cli import completion
from skipfill.cli.options import COLUMNS, OUTPUT
from skipfill.cli.options.pipes import corpora, judgements
from skipfill.cli.options.reason import refuse_empty

MEASURED = "Queries and truth"
SLICES = "Slices"
INDEX = "Index and thresholds"
ANSWER = "In place of an earlier check"

Items = Annotated[
    list[Path],
    typer.Option(
        metavar="FILE",
        help="Held-out items, which are the queries: Parquet, JSON lines, Arrow, or a BEIR folder. Repeatable.",
        rich_help_panel=MEASURED,
    ),
]
GalleryItems = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Items of gallery rows. The new model encodes them to measure new/new; if it re-ranks, only the "
        "candidates. Repeatable. Default: --items, if they are gallery rows.",
        callback=corpora,
        rich_help_panel=MEASURED,
    ),
]
Judgements = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Relevance judgements: TREC or BEIR qrels, Parquet, or a BEIR folder. Default: the labels say what is "
        "relevant.",
        callback=judgements,
        rich_help_panel=MEASURED,
    ),
]
Truth = Annotated[
    str,
    typer.Option(
        metavar="KIND",
        help="What makes a row relevant: labels, judgements, or reindex (the first rows of a full reindex). Or "
        "neighbours: the first rows that each query's stored vector finds, to measure what changes; such a check never "
        "passes. Default: the policy's kind; without one, judgements if given, else labels.",
        rich_help_panel=MEASURED,
        autocompletion=completion.one_of("labels", "judgements", "reindex", "neighbours"),
    ),
]
Depth = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=1,
        help="With --truth reindex or neighbours: how many of the first rows are relevant.",
        rich_help_panel=MEASURED,
    ),
]
Ceiling = Annotated[
    str,
    typer.Option(
        metavar="MODEL",
        help="Independent model whose full reindex counts as an update gain of 1. Default: the new model itself "
        "(new/new).",
        rich_help_panel=MEASURED,
        autocompletion=completion.models,
    ),
]
Slice = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SQL",
        help="Condition on the queries' columns, such as lang = 'en'; queries that meet it are judged separately, "
        "besides the policy's slices. Repeatable. Default: none.",
        rich_help_panel=SLICES,
    ),
]
SliceBy = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN",
        help="Column of the queries; each of its values is a slice, and rare values share one. Repeatable. Default: "
        "none.",
        rich_help_panel=SLICES,
    ),
]
Identity = Annotated[
    str,
    typer.Option(
        metavar="COLUMN",
        help="Column that says which queries belong together, such as person or product: they count as "
        "one. Default: each query by itself.",
        rich_help_panel=SLICES,
    ),
]
OldVector = Annotated[
    str,
    typer.Option(
        metavar="COLUMN",
        help="Column with the old model's vectors, of the queries and of at least 32 gallery rows. "
        "Default: the old model encodes the queries.",
        rich_help_panel=COLUMNS,
    ),
]
OldInput = Annotated[
    str,
    typer.Option(
        metavar="COLUMN",
        help="Column that the old model encodes. Default: the new model's.",
        rich_help_panel=COLUMNS,
    ),
]
TruthVector = Annotated[
    str,
    typer.Option(
        metavar="COLUMN",
        help="Column with an independent model's vectors, of queries and gallery rows, for --truth "
        "reindex. Default: the --ceiling model encodes.",
        rich_help_panel=COLUMNS,
    ),
]
Index = Annotated[
    str,
    typer.Option(
        metavar="INDEX",
        help="Also measure the recall of an approximate index for the new queries: hnsw, or hnsw:NAME=VALUE,... "
        "Default: exact search only.",
        rich_help_panel=INDEX,
        autocompletion=completion.one_of("hnsw"),
    ),
]
Threshold = Annotated[
    list[float] | None,
    typer.Option(
        metavar="SCORE",
        min=-1,
        max=1,
        help="Score threshold in use now, from -1 to 1; the check finds the matching one for the new model. "
        "Repeatable. Default: none.",
        rich_help_panel=INDEX,
    ),
]
ThresholdRule = Annotated[
    str,
    typer.Option(
        metavar="RULE",
        help="Rate that a new threshold keeps: far, the share of irrelevant rows that it accepts; or match-rate, the "
        "share of all rows that it accepts.",
        rich_help_panel=INDEX,
        autocompletion=completion.one_of("far", "match-rate"),
    ),
]
InsteadOf = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CHECK",
        help="Id of a check that did not pass because its queries were wrong; this check replaces it. "
        "Repeatable. Default: none.",
        rich_help_panel=ANSWER,
        autocompletion=completion.checks,
    ),
]
Reason = Annotated[
    str,
    typer.Option(
        metavar="TEXT",
        callback=refuse_empty,
        help="Why these queries are better than those of --instead-of. Default: none; --instead-of needs one.",
        rich_help_panel=ANSWER,
    ),
]
NoSave = Annotated[
    bool,
    typer.Option(
        "--no-save", help="Write nothing to the store; the check then has no effect on swaps.", rich_help_panel=OUTPUT
    ),
]
