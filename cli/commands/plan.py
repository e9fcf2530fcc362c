"""skipfill plan"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from skipfill.cli.error_messages import in_way
from skipfill.cli.options import (
    GalleryName,
    IdColumn,
    InputColumn,
    Json,
    ModelName,
    Quiet,
    Store,
    item_columns,
    opened,
    refuse_empty_reason,
)
from skipfill.cli.options.reranking import CheckedCandidates, Rerank, asked_reranking
from skipfill.cli.terminal.next_command import quoted
from skipfill.cli.terminal.printing import emit, facts, policy_line, show_next, table, to_stdout, view_words

if TYPE_CHECKING:
    from skipfill.store.releases.backfill_cost import EncodeRate
    from skipfill.store.releases.plan import Plan
    from skipfill.store.storage.object_store import ObjectStore


def plan(
    gallery: GalleryName,
    name: ModelName,
    items: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Items to time the model on: the first 256. Repeatable. Default: the time is not measured.",
        ),
    ] = None,
    price_per_million: Annotated[
        float | None,
        typer.Option(metavar="N", help="Price of encoding a million items, in any currency. Default: no price."),
    ] = None,
    without_check: Annotated[
        str | None,
        typer.Option(
            metavar="REASON",
            help="Plan a swap without a passing check, for this recorded reason. Default: a pass is required.",
        ),
    ] = None,
    rerank: Rerank = None,
    candidates: CheckedCandidates = "",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File for the plan, which must not exist; - is stdout. Default: the plan is only shown.",
        ),
    ] = None,
    id_column: IdColumn = "id",
    input_column: InputColumn = "",
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what a swap changes, requires and saves; nothing is changed.

    Exit 1: something that is required is missing.

    Example: skipfill plan products v2 -o plan.json
    """
    from skipfill.cli.documents.releases import PlanDocument
    from skipfill.store.checks.index import CheckIndex
    from skipfill.store.galleries.gallery import open_gallery
    from skipfill.store.models.cards import load_card
    from skipfill.store.releases.swap import plan_swap
    from skipfill.store.storage.output_file import new_file

    refuse_empty_reason(without_check)
    objects = opened(store)
    card = load_card(objects, name)
    now = open_gallery(objects, gallery).version  # its files are there, and are those that were registered
    rate = _rate(objects, name, items, id_column, input_column) if items else None
    index = CheckIndex(objects, gallery)
    way = asked_reranking(objects, gallery, card, rerank, candidates, index)
    made = plan_swap(objects, gallery, card, without_check or "", rate, price_per_million, index, way)
    printed = str(output) == "-"
    if output is not None and not printed:
        with new_file(output) as file:
            file.write(f"{made.as_json()}\n".encode())
    code = 0 if made.applicable else 1
    if printed:
        with to_stdout():
            print(made.as_json())
    else:
        emit(
            PlanDocument(made.as_document(), now.policy_in_force),
            as_json=json,
            show=lambda out: show_plan(out, made, policy_line(now)),
            exit_code=code,
        )
    show_next(_next(made, output), quiet=quiet)
    raise typer.Exit(code)


def show_plan(out: Console, plan: Plan, policy: str) -> None:
    """The plan as people read it: what changes, what it requires, what it saves."""
    out.print(f"Plan {plan.id}: swap {plan.gallery} to {plan.changes.after}", style="bold")
    out.print()
    out.print(Text("changes", "bold"))
    out.print(
        facts(
            [
                ("queries use", f"{plan.changes.before} -> {plan.changes.after} ({view_words(plan.view)})"),
                ("version", f"{plan.version} -> {plan.version + 1}"),
                ("stored vectors", "none"),
                *(
                    (f"threshold ({one.rule})", f"{one.old:.4f} -> {one.new.mean:.4f}")
                    for one in plan.changes.thresholds
                ),
            ]
        )
    )
    out.print()
    out.print(Text("requires", "bold"))
    out.print(
        table(
            ["requirement", "expected", "found", "met"],
            [
                (one.name, one.expected, one.found, Text("yes", "green") if one.holds else Text("NO", "bold red"))
                for one in plan.requires
            ],
            wrap=["requirement", "expected", "found"],
        )
    )
    out.print(f"policy: {policy}")
    if plan.without_check:
        out.print(f"without a check: {plan.without_check}")
    out.print()
    out.print(Text("saves, because the gallery is not encoded again", "bold"))
    out.print(facts([("rows", f"{plan.avoids.rows:,} rows"), *plan.avoids.arithmetic.items()]))


def _rate(objects: ObjectStore, name: str, items: list[Path], id_column: str, input_column: str) -> EncodeRate:
    from skipfill.compat.inference.load import load_model
    from skipfill.compat.inference.throughput import measured_rate
    from skipfill.store.parquet.items import open_items

    return measured_rate(
        load_model(objects, name), open_items(items, item_columns(id_column, "label", input_column, items))
    )


def _next(plan: Plan, output: Path | None) -> str:
    if not plan.applicable:
        check = f"skipfill check {plan.gallery} {in_way(plan.model_in_way)} --items HELDOUT.parquet"
        if [one.name for one in plan.requires if not one.holds] == ["rollback"]:
            again = quoted("--plan", output) if output is not None else f"{in_way(plan.model_in_way)}"
            return (
                f"Next: {check}. Or, with a reason why it may come back: skipfill swap {plan.gallery} {again} "
                f"--reason TEXT"
            )
        return f"Next: {check}"
    if output is None:
        reason = f" --without-check {quoted(plan.without_check)}" if plan.without_check else ""
        command = f"skipfill swap {plan.gallery} {in_way(plan.model_in_way)}{reason}"
        return f"Next: {command}. To apply exactly this plan, save it with -o FILE"
    return f"Next: skipfill swap {plan.gallery} --plan {quoted(output)}"
