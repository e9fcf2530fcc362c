"""skipfill advise"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skipfill.cli import completion
from skipfill.cli.options import (
    Confidence,
    GalleryName,
    IdColumn,
    InputColumn,
    Json,
    LabelColumn,
    LeastQueries,
    Margin,
    Metric,
    Quiet,
    Store,
    item_columns,
    opened,
    with_options,
)
from skipfill.cli.options.check import GalleryItems, Identity, Judgements, OldInput, OldVector
from skipfill.cli.options.engine import UseCache, cache_of
from skipfill.cli.terminal.advice_summary import CHECK, CHOSE, show_advice
from skipfill.cli.terminal.next_command import deciding_options, items_options, quoted, same_command
from skipfill.cli.terminal.printing import emit, show_next
from skipfill.cli.terminal.progress import progress

if TYPE_CHECKING:
    from skipfill.compat.advice.advise import Advised
    from skipfill.compat.gate.inputs import CheckInputs

EXIT_CODES = {"change": 0, "stay": 1, "undecided": 3}

Candidate = Annotated[
    list[str],
    typer.Option(metavar="MODEL", help="A model to consider. Repeatable.", autocompletion=completion.models),
]
Queries = Annotated[
    list[Path],
    typer.Option(metavar="FILE", help="Queries that no candidate was trained on. Repeatable."),
]
PricePerHour = Annotated[
    float | None,
    typer.Option(
        min=0, metavar="N", help="Price of an hour of this machine, for the cost of a reindex. Default: none."
    ),
]
HalvesFolder = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder for the two halves of the queries: chose.parquet, for skipfill blend, and check.parquet, for "
        "skipfill check. Default: not written.",
    ),
]


def advise(
    gallery: GalleryName,
    candidate: Candidate,
    items: Queries,
    gallery_items: GalleryItems = None,
    judgements: Judgements = None,
    identity: Identity = "",
    metric: Metric = None,
    margin: Margin = None,
    confidence: Confidence = None,
    least_queries: LeastQueries = None,
    price_per_hour: PricePerHour = None,
    id_column: IdColumn = "id",
    label: LabelColumn = "label",
    input_column: InputColumn = "",
    old_vector: OldVector = "",
    old_input: OldInput = "",
    halves: HalvesFolder = None,
    cache: UseCache = False,
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Recommend what to do: stay, swap to a candidate, blend, re-rank, or reindex.

    One half of the queries chooses the weights of blends, and which row of the table to recommend. The other half tests
    this row under the gallery's policy, and the table shows the results of that half. Nothing is written to the store.
    Exit 0: a change is worth it, 1: staying is best, 3: not enough evidence.

    Example: skipfill advise products --candidate v2 --items heldout.parquet --gallery-items items.parquet
    """
    from skipfill.cli.documents.running_models import AdviceDocument
    from skipfill.compat.advice.advise import advise as compared
    from skipfill.compat.advice.halves import refuse_files, write_halves
    from skipfill.compat.gate.inputs import CheckInputs, SliceSpec
    from skipfill.compat.progress import Progress
    from skipfill.store.galleries.log import latest

    objects = opened(store)
    of_gallery = latest(objects, gallery).policy_in_force
    policy = with_options(of_gallery, metric=metric, margin=margin, confidence=confidence, least_queries=least_queries)
    inputs = CheckInputs(
        items=items,
        gallery_items=gallery_items or [],
        truth="judgements" if judgements else "labels",
        judgements=judgements,
        identity=identity,
        old_vector=old_vector,
        old_input=old_input,
        slices=SliceSpec(policy.slices, (), policy.least_queries),
        columns=item_columns(id_column, label, input_column, items, quiet=quiet, other_than=old_vector),
    )
    if halves is not None:
        refuse_files(halves)
    copies = cache_of(used=cache, quiet=quiet)
    with progress(quiet=quiet) as bar:
        stages = Progress(bar.start, bar.advance)
        made = compared(objects, gallery, candidate, inputs, policy, stages, price_per_hour, copies)
    if halves is not None and made.halves is not None:
        write_halves(made.halves, halves)
    code = EXIT_CODES[made.outcome]
    emit(
        AdviceDocument(_values(made), made.outcome),
        as_json=json,
        show=lambda out: show_advice(out, made),
        exit_code=code,
    )
    show_next(_next(made, inputs, metric, halves), quiet=quiet)
    raise typer.Exit(code)


def _values(made: Advised) -> dict[str, Any]:
    """The advice as JSON values."""
    document = asdict(replace(made, halves=None))
    del document["halves"]
    return document


def _next(made: Advised, inputs: CheckInputs, metric: str | None, halves: Path | None) -> str:
    from skipfill.store.checks.repeated import ROWS

    again = same_command(without_option="--halves")
    if made.recommended is None and made.lack == "proof of old vectors":
        proof = f"at least 32 rows of the gallery, each with the old model's vector in column {inputs.old_vector}"
        return f"Next: {again} --items PROOF.parquet. PROOF.parquet: {proof}"
    if made.recommended is None and made.lack == "vectors of rows":
        return f"Next: {again} --gallery-items {ROWS}. {ROWS}: the items of gallery rows that had none here"
    if made.recommended is None:
        return f"Next: run it again with more queries, or see: skipfill policy {made.gallery}"
    line = made.lines[made.recommended]
    chose, check = ("CHOSE.parquet", "CHECK.parquet") if halves is None else (halves / CHOSE, halves / CHECK)
    deciding, split = deciding_options(inputs, metric), "" if halves else " (--halves FOLDER writes the files)"
    if line.kind == "stay":
        command = f"skipfill check {made.gallery} MODEL{items_options(inputs.items)}{deciding}"
        return f"Next: nothing to do. To see what would change: {command}"
    if line.kind == "reindex":
        files = quoted(*inputs.gallery_items) if line.measured_on == line.rows else ""  # a reindex needs all rows
        return f"Next: skipfill encode {line.model} {files or 'ITEMS.parquet'} -o VECTORS.parquet"
    asked = f"--items {quoted(check)}{deciding}{split}"
    if line.kind == "rerank":
        asked = f"--rerank {line.k} --keep {asked}"
    if line.kind == "blend":
        choosing = deciding_options(replace(inputs, gallery_items=[], old_input=""), metric)
        source = f"--new {line.model} --old {made.old} --items {quoted(chose)} --gallery {made.gallery}{choosing}"
        return f"Next: skipfill blend NAME {source}, then: skipfill check {made.gallery} NAME {asked}"
    return f"Next: skipfill check {made.gallery} {line.model} {asked}"
