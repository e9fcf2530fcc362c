"""skipfill train"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skipfill.cli.options import IdColumn, InputColumn, Json, LabelColumn, Quiet, Store, item_columns, opened
from skipfill.cli.terminal import Bar, advise, emit, progress

if TYPE_CHECKING:
    from skipfill.compat.training import Step


def train(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="Name of the new model.")],
    items: Annotated[list[Path], typer.Option(help="Parquet with id, label, and image, vector or text. Repeatable.")],
    method: Annotated[str, typer.Option(help="How to train; `skipfill methods` lists them.")] = "",
    gallery: Annotated[str, typer.Option(help="Stored gallery that the model's queries will search.")] = "",
    align: Annotated[
        list[Path] | None, typer.Option(help="Items of the gallery, labels not needed: keeps what nobody labelled.")
    ] = None,
    teacher: Annotated[str, typer.Option(help="Independent model to imitate, for methods that do.")] = "",
    hold_out: Annotated[
        list[Path] | None,
        typer.Option(help="Queries of the check: training uses neither these items nor their stored rows."),
    ] = None,
    epochs: Annotated[int, typer.Option(min=0, help="Passes over the items. 0: by encoder.")] = 0,
    batch: Annotated[int, typer.Option(min=0, help="Items per step. 0: by encoder.")] = 0,
    lr: Annotated[float, typer.Option(min=0, help="Peak learning rate. 0: by encoder.")] = 0.0,
    encoder: Annotated[
        str,
        typer.Option(help="auto, convnet, mlp, hf:FOLDER_OR_NAME (transformers), or python:MODULE:FACTORY (yours)."),
    ] = "auto",
    dim: Annotated[int, typer.Option(min=0, help="Dimension of an independent model. 0: old dimension + 32.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same weights.")] = 0,
    precision: Annotated[str, typer.Option(help="auto, bf16 or f32, for the encoder.")] = "auto",
    restart: Annotated[bool, typer.Option("--restart", help="Drop an unfinished run of this name.")] = False,
    id_column: IdColumn = "id",
    label: LabelColumn = "label",
    input_column: InputColumn = "",
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a model: from nothing, or so that its queries search a stored gallery as it is.

    Without --method: gallery when a gallery is named, independent otherwise.
    A killed run goes on from its last epoch when the same command is given again.

    Example: skipfill train v2 --gallery products --items items.parquet
    """
    from skipfill.compat.new_model import train_model
    from skipfill.compat.recipe import Recipe, Sources
    from skipfill.compat.stages import Stages
    from skipfill.store.errors import BadInput, unknown_name

    if precision not in ("auto", "bf16", "f32"):
        raise unknown_name("precision", precision, ["auto", "bf16", "f32"])
    if batch == 1:
        raise BadInput("--batch", expected="at least 2 items: batch norm has no variance over one", found="1")
    objects = opened(store)
    recipe = Recipe(
        method=method or ("gallery" if gallery else "independent"),
        encoder=encoder,
        dim=dim,
        epochs=epochs,
        batch=batch,
        lr=lr,
        seed=seed,
        precision=precision,
    )
    sources = Sources(
        items, gallery, teacher, align or [], hold_out or [], item_columns(id_column, label, input_column)
    )
    began = time.monotonic()
    with progress(quiet=quiet) as bar:
        stages = Stages(bar.start, bar.advance, _shown(name, bar))
        card = train_model(objects, name, recipe, sources, stages, restart=restart)
    seconds = round(time.monotonic() - began, 1)
    losses = ", ".join(f"{term} {value:.3f}" for term, value in card.losses.items())
    emit(
        {"model": asdict(card), "fingerprint": card.fingerprint, "seconds": seconds},
        as_json=json,
        show=lambda out: out.print(
            f"Trained {name}: {recipe.method}, dim {card.dim}, {card.trained_items:,} items of "
            f"{len(card.trained_labels):,} classes, {seconds:.0f} s ({losses})"
        ),
    )
    after = (
        f"check {gallery} {name} --items HELDOUT.parquet"
        if gallery
        else f"encode {name} ITEMS.parquet -o GALLERY.parquet"
    )
    advise(f"Next: skipfill {after}", quiet=quiet)


def _shown(name: str, bar: Bar) -> Callable[[Step], None]:
    def step(now: Step) -> None:
        bar.advance(now.items)
        # Five letters a term, so that all of them fit beside the bar in 80 columns.
        losses = " ".join(f"{term[:5]} {value:.2f}" for term, value in now.losses.items())
        bar.note(f"{name} epoch {now.epoch}", losses)

    return step
