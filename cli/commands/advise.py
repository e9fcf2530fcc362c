"""skipfill advise"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

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
from skipfill.cli.terminal.next_command import deciding_options, items_options, quoted, same_command
from skipfill.cli.terminal.printing import emit, progress, show_next, table

if TYPE_CHECKING:
    from skipfill.compat.advice.advise import Advised
    from skipfill.compat.advice.table import Line
    from skipfill.compat.gate.inputs import CheckInputs

EXIT_CODES = {"change": 0, "stay": 1, "undecided": 3}
CHOSE, CHECK = "chose.parquet", "check.parquet"  # as in compat/advice/halves.py, which is not loaded for the help
VERDICTS = {"pass": "pass", "fail": "fail", "inconclusive": "?", None: ""}
LONGEST_NAME = 20  # so that the table fits into 80 columns

Candidate = Annotated[
    list[str],
    typer.Option(metavar="MODEL", help="A model to consider. Repeatable.", autocompletion=completion.models),
]
Queries = Annotated[
    list[Path],
    typer.Option(metavar="FILE", help="Queries that no candidate was trained on: Parquet. Repeatable."),
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
        metavar="FOLDER", help="Write chose.parquet, for a blend, and check.parquet, for a check. Default: neither."
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

    One half of the queries chooses the weights and the row of the table to recommend. The other half tests this row
    under the gallery's policy, and the table shows its results. Nothing is written to the store. Exit 0: a change is
    worth it, 1: staying is best, 3: not enough evidence.

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


def show_advice(out: Console, made: Advised) -> None:
    """The table, the recommendation and its reason."""
    policy = made.policy
    out.print(f"{policy.metric} on gallery {made.gallery}, version {made.version}", style="bold")
    out.print(f"{made.choosing:,} queries chose; the table shows {made.reporting:,} others. Policy: {policy.short}")
    out.print()
    columns = ["", policy.metric, "change", "flips", "per s", "rows", ""]
    rows = [_cells(line, recommended=place == made.recommended) for place, line in enumerate(made.lines)]
    out.print(table(columns, rows, numbers=columns[1:6]))
    if any(line.kind == "rerank" for line in made.lines):
        out.print("rows: those to encode; of a re-ranking, the candidates of these queries", style="dim")
    for line in made.lines:
        if line.kind == "reindex":
            out.print(_cost(line))
        if partial := _partial(line, made.lines[0]):
            out.print(partial)
    out.print()
    out.print(Text.assemble((f"{_headline(made)}: ", "bold"), f"{made.reason}."))
    for note in [*made.notes, *_weights_are_chosen(made), *_numbers_of_candidates(made)]:
        out.print(Text.assemble(("note: ", "yellow"), note))


def _weights_are_chosen(made: Advised) -> list[str]:
    """A note on making a blend of the table, where there is one."""
    if all(line.kind != "blend" for line in made.lines):
        return []
    return [
        f"to make a blend of this table, use `skipfill blend --items {CHOSE}` (from --halves): it chooses the same "
        "weight and remembers these queries, so that checks leave them out. `--weight` remembers none"
    ]


def _numbers_of_candidates(made: Advised) -> list[str]:
    """A note on the number of candidates, where re-ranking is recommended."""
    if made.recommended is None or made.lines[made.recommended].kind != "rerank":
        return []
    return [
        "recommended is the smallest number of candidates that is as good as the best row, within one standard error. "
        "A smaller one may pass a check too, with fewer rows to encode and a smaller gain: `skipfill check --rerank "
        "10,50,200` tries several and shows both"
    ]


def _cells(line: Line, *, recommended: bool) -> list[object]:
    ends = [] if line.change is None else [line.change.mean, line.change.low, line.change.high]
    change = " ".join(f"{end:+.3f}".replace("0.", ".", 1) for end in ends)
    name = line.name if len(line.name) <= LONGEST_NAME else f"{line.name[: LONGEST_NAME - 3]}..."
    return [
        Text(name, "bold" if recommended else ""),
        f"{line.quality.mean:.3f}",
        change,
        "" if line.flips is None else f"{line.flips:.1%}",
        "-" if line.queries_per_second is None else f"{line.queries_per_second:,.0f}",
        f"{line.rows:,}",
        VERDICTS[line.verdict],
    ]


def _headline(made: Advised) -> str:
    """The words before the reason, which names what is recommended unless that is to stay."""
    if made.recommended is None:
        return "Not enough evidence"
    name = made.lines[made.recommended].name
    return "Recommended" if made.recommended else f"Recommended: {name[0].upper()}{name[1:]}"


def _partial(line: Line, staying: Line) -> str:
    """A note on a line that was measured on some rows only; empty for others."""
    if line.change is None or line.measured_on == staying.measured_on:
        return ""
    return (
        f"{line.name}: measured on the {line.measured_on:,} of {staying.measured_on:,} rows whose items are given, "
        f"with {line.queries:,} queries; staying has {line.quality.mean - line.change.mean:.3f} on these"
    )


def _cost(line: Line) -> str:
    if line.seconds is None:
        return f"{line.name}: the time is not known, because no model in this store encodes the items"
    money = "" if line.money is None else f", price {line.money:,.4g}"
    return f"{line.name}: {line.rows:,} rows take {line.seconds / 3600:,.3g} hours on this machine{money}"


def _values(made: Advised) -> dict[str, Any]:
    """The advice as JSON values."""
    document = asdict(replace(made, halves=None))
    del document["halves"], document["lack"]
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
