"""skipfill blend"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skipfill.cli import completion
from skipfill.cli.commands.overview import searchable
from skipfill.cli.options import (
    COLUMNS,
    IdColumn,
    InputColumn,
    Json,
    LabelColumn,
    Quiet,
    Store,
    item_columns,
    opened,
)
from skipfill.cli.options.check import Identity
from skipfill.cli.terminal.next_command import deciding_options
from skipfill.cli.terminal.printing import emit, show_next, table
from skipfill.cli.terminal.progress import progress

if TYPE_CHECKING:
    from skipfill.compat.gate.inputs import CheckInputs
    from skipfill.compat.training.blending.weight import ChosenWeight
    from skipfill.store.models.cards import Card
    from skipfill.store.storage.object_store import ObjectStore

CHOICE = "Queries that choose the weight"


def blend(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model to make.")],
    new: Annotated[
        list[str],
        typer.Option(
            metavar="MODEL",
            help="Model with a view onto the old one's space. Repeatable with --items, which then choose the model "
            "too.",
            autocompletion=completion.models,
        ),
    ],
    old: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="Model that encoded the gallery. If it is not in the store: the name of its space.",
            autocompletion=completion.models,
        ),
    ],
    weight: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            min=0.01,
            max=1,
            help="Weight of the new query; the old one has the rest. Default: with --items, the best one for them; "
            "otherwise at most 0.5, less where the new model's classifier is less sure of the query; without a "
            "classifier 0.4, which is a guess.",
        ),
    ] = None,
    items: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Held-out queries that choose the weight; use others for the check. Repeatable. Default: none.",
            rich_help_panel=CHOICE,
        ),
    ] = None,
    judgements: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Their relevance judgements: TREC or BEIR qrels, or Parquet. Default: their labels.",
            rich_help_panel=CHOICE,
        ),
    ] = None,
    gallery: Annotated[
        str,
        typer.Option(
            metavar="GALLERY",
            help="Gallery that they search. Default: the only one in that space.",
            rich_help_panel=CHOICE,
            autocompletion=completion.galleries,
        ),
    ] = "",
    metric: Annotated[
        str | None,
        typer.Option(metavar="METRIC", help="Metric that decides. Default: the policy's.", rich_help_panel=CHOICE),
    ] = None,
    identity: Identity = "",
    old_vector: Annotated[
        str,
        typer.Option(
            metavar="COLUMN",
            help="Column with the old encoder's vectors of the queries; every query then needs one. "
            "Default: the old encoder is put into the bundle.",
            rich_help_panel=COLUMNS,
        ),
    ] = "",
    id_column: IdColumn = "id",
    label: LabelColumn = "label",
    input_column: InputColumn = "",
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Mix the new model's queries with the old model's.

    Each query is n(w n(new) + (1 - w) n(old)), where w is the weight and n normalises. Nothing is trained. Both
    models encode each query, unless the queries bring their old vectors.

    Example: skipfill blend v2-safe --new v2 --old v1
    """
    from skipfill.cli.documents.running_models import BlendDocument
    from skipfill.compat.gate.inputs import CheckInputs
    from skipfill.compat.training.blending.blend import blend_models
    from skipfill.store.errors import BadInput, Parameter
    from skipfill.store.models.cards import needs_old_vectors

    if items and weight is not None:
        raise BadInput(Parameter("weight"), expected="either a weight or queries that choose it", found="both")
    objects, chosen, inputs = opened(store), None, None
    if items:
        columns = item_columns(id_column, label, input_column, items, quiet=quiet, other_than=old_vector)
        inputs = CheckInputs(
            items=items,
            truth="judgements" if judgements else "labels",
            judgements=judgements,
            identity=identity,
            old_vector=old_vector,
            columns=columns,
        )
        chosen = _chosen(objects, gallery or _only_gallery(objects, old), new, inputs, metric, quiet=quiet)
    elif len(new) != 1:
        raise BadInput(Parameter("new"), expected="one model, or --items that choose among them", found=", ".join(new))
    elif judgements or metric or identity:
        raise BadInput(Parameter("items"), expected="queries that choose the weight", found="none")
    card = blend_models(
        objects, name, chosen.new if chosen else new[0], old, chosen or weight, brought=bool(old_vector)
    )
    brought, warnings = needs_old_vectors(card), chosen.warnings if chosen else []
    if brought and not old_vector:
        warnings = [
            *warnings,
            f"queries need their old vectors: --old-vector COLUMN, because {old} is not in this store",
        ]
    emit(
        BlendDocument(card, card.fingerprint, chosen.grid if chosen else [], warnings),
        as_json=json,
        show=lambda out: out.print(*_shown(card, chosen, warnings), sep="\n"),
    )
    for_check = gallery or searchable(objects, card)
    deciding = deciding_options(inputs, metric) if inputs else ""
    bring = " --old-vector COLUMN" if brought and "--old-vector" not in deciding else ""
    show_next(f"Next: skipfill check {for_check} {name} --items HELDOUT.parquet{deciding}{bring}", quiet=quiet)


def _chosen(
    objects: ObjectStore, gallery: str, new: list[str], inputs: CheckInputs, metric: str | None, *, quiet: bool
) -> ChosenWeight:
    from skipfill.compat.gate.inputs import refuse_unknown_metric
    from skipfill.compat.progress import Progress
    from skipfill.compat.training.blending.weight import choose_weight
    from skipfill.store.galleries.log import latest

    policy = latest(objects, gallery).policy_in_force
    policy = policy if metric is None else replace(policy, metric=metric)
    refuse_unknown_metric(policy)
    with progress(quiet=quiet) as bar:
        return choose_weight(objects, gallery, new, inputs, policy, Progress(bar.start, bar.advance))


def _only_gallery(objects: ObjectStore, space: str) -> str:
    """The only gallery in a space."""
    from skipfill.store.errors import BadInput, Parameter
    from skipfill.store.galleries.log import galleries_of

    names = galleries_of(objects, space)
    if len(names) != 1:
        raise BadInput(
            Parameter("gallery"), expected=f"the gallery in space {space} to search", found=", ".join(names) or "none"
        )
    return names[0]


def _shown(card: Card, chosen: ChosenWeight | None, warnings: list[str]) -> list[object]:
    """The new blend, after the table of weights that chose it, and the warnings."""
    recipe = card.recipe
    made = f"Blended {card.name}: {recipe['new']} in its view with {recipe['old']}, weight {recipe['weight']}"
    line = f"{made} ({recipe['weight_by']}; old vectors {recipe['old_vectors']})"
    notes = [f"note: {warning}" for warning in warnings]
    if chosen is None:
        return [*notes, line]
    rows = [
        (
            one.new,
            f"{one.weight:.1f}",
            f"{one.mean:.3f}",
            f"{one.change.mean:+.3f} {one.change.low:+.3f} {one.change.high:+.3f}",
        )
        for one in chosen.grid
    ]
    columns = ["new", "weight", chosen.metric, "change"]
    return [table(columns, rows, numbers=columns[1:3]), *notes, line]
