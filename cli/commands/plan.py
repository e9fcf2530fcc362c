"""skipfill plan"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from skipfill.cli.error_messages import in_way
from skipfill.cli.options import GalleryName, IdColumn, InputColumn, Json, ModelName, Quiet, Store, item_columns, opened
from skipfill.cli.options.pipes import corpora
from skipfill.cli.options.reason import refuse_empty
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
            callback=corpora,
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
            callback=refuse_empty,
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
            help="File for the plan, which must not exist; or - for stdout. A file is written only if a swap would "
            "accept the plan, perhaps with a --reason. Default: the plan is only shown.",
        ),
    ] = None,
    id_column: IdColumn = "id",
    input_column: InputColumn = "",
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what a swap changes, requires and saves; nothing is changed.

    Exit 1: something required is missing. The `-o` file is then not written, with one exception: if all that is missing
    is a reason to bring back a model that was rolled back, give it with `skipfill swap --plan FILE --reason TEXT`.

    Example: skipfill plan products v2 -o plan.json
    """
    from skipfill.cli.documents.releases import PlanDocument
    from skipfill.store.checks.index import CheckIndex
    from skipfill.store.galleries.gallery import open_gallery
    from skipfill.store.models.cards import load_card
    from skipfill.store.releases.swap import plan_swap
    from skipfill.store.storage.output_file import new_file

    objects = opened(store)
    card = load_card(objects, name)
    now = open_gallery(objects, gallery).version  # its files are there, and are those that were registered
    rate = _rate(objects, name, items, id_column, input_column) if items else None
    index = CheckIndex(objects, gallery)
    way = asked_reranking(objects, gallery, card, rerank, candidates, index)
    made = plan_swap(objects, gallery, card, without_check or "", rate, price_per_million, index, way)
    printed = str(output) == "-"
    written = output if made.applicable or made.lacks_reason_only else None
    if written is not None and not printed:
        with new_file(written) as file:
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
    if output is not None and written is None and not printed:
        show_next(f"Not written: {output}, because a swap would refuse this plan", quiet=quiet)
    show_next(_next(objects, made, written), quiet=quiet)
    raise typer.Exit(code)


def show_plan(out: Console, plan: Plan, policy: str) -> None:
    """The plan as people read it: what changes, what it requires, what it saves."""
    out.print(f"Plan {plan.id}: swap {plan.gallery} to {plan.changes.after}", style="bold")
    out.print()
    out.print(Text("changes", "bold"))
    out.print(
        facts(
            [
                ("queries use", f"{plan.changes.before} -> {plan.changes.after} ({_found_by(plan)})"),
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
    why = "the gallery is not encoded again" if plan.rerank is None else "only candidates are encoded"
    out.print(Text(f"saves, because {why}", "bold"))
    out.print(facts([("rows", f"{plan.avoids.rows:,} rows"), *plan.avoids.arithmetic.items()]))


def _found_by(plan: Plan) -> str:
    """The vector of a query that searches the gallery, in words."""
    if plan.rerank is not None and plan.rerank.candidates == "old":
        return "the old query finds the candidates"
    return view_words(plan.view)


def _rate(objects: ObjectStore, name: str, items: list[Path], id_column: str, input_column: str) -> EncodeRate:
    from skipfill.compat.inference.load import load_model
    from skipfill.compat.inference.throughput import measured_rate
    from skipfill.store.parquet.items import open_items

    return measured_rate(
        load_model(objects, name), open_items(items, item_columns(id_column, "label", input_column, items))
    )


def _next(objects: ObjectStore, plan: Plan, output: Path | None) -> str:
    from skipfill.store.checks.newest import newest_report
    from skipfill.store.checks.repeated import repeated
    from skipfill.store.checks.reranking import ModelInWay

    if missing := [one.name for one in plan.requires if not one.holds]:
        asked = repeated(plan.rerank, newest_report(objects, plan.gallery, plan.fingerprint))
        check = f"skipfill check {plan.gallery} {in_way(ModelInWay(plan.model, asked))} --items HELDOUT.parquet"
        again = quoted("--plan", output) if output is not None else in_way(plan.model_in_way)
        by_reason = f"skipfill swap {plan.gallery} {again} --reason TEXT"
        if plan.lacks_reason_only:
            return f"Next: {check} --items INCIDENT.parquet. Or, with a reason why it may come back: {by_reason}"
        if "rollback" in missing:
            return f"Next: {check}. If it passes on the same queries as before, give a reason too: {by_reason}"
        return f"Next: {check}"
    if output is None:
        reason = f" --without-check {quoted(plan.without_check)}" if plan.without_check else ""
        command = f"skipfill swap {plan.gallery} {in_way(plan.model_in_way)}{reason}"
        return f"Next: {command}. To apply exactly this plan, save it with -o FILE"
    return f"Next: skipfill swap {plan.gallery} --plan {quoted(output)}"
