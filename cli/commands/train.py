"""skipfill train"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from skipfill.cli.options import IdColumn, InputColumn, Json, LabelColumn, Quiet, Store, item_columns, opened
from skipfill.cli.terminal.printing import progress
from skipfill.cli.terminal.training_progress import log_file, show_trained, watcher_of

if TYPE_CHECKING:
    from skipfill.compat.training.loop.device import Device, Precision


def train(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="MODEL", help="Name of the new model.")],
    items: Annotated[list[Path], typer.Option(help="Parquet with id, label, and image, vector or text. Repeatable.")],
    method: Annotated[str, typer.Option(help="How to train; `skipfill methods` lists them.")] = "",
    gallery: Annotated[str, typer.Option(help="Stored gallery that the model's queries will search.")] = "",
    align: Annotated[
        list[Path] | None, typer.Option(help="Items of the gallery, labels not needed: keeps what nobody labelled.")
    ] = None,
    teacher: Annotated[str, typer.Option(help="Independent model to imitate, for methods that do.")] = "",
    slots_of: Annotated[
        list[str] | None,
        typer.Option(help="Model on the same simplex: keep its class slots, search its spaces. Repeatable."),
    ] = None,
    start_from: Annotated[
        str, typer.Option("--init", metavar="MODEL", help="Start from this model's encoder, and head if it fits.")
    ] = "",
    hold_out: Annotated[
        list[Path] | None,
        typer.Option(help="Queries of the check: training uses neither these items nor their stored rows."),
    ] = None,
    epochs: Annotated[int, typer.Option(min=0, help="Passes over the items. 0: by their number; few need more.")] = 0,
    batch: Annotated[int, typer.Option(min=0, help="Items per step. 0: by encoder.")] = 0,
    lr: Annotated[float, typer.Option(min=0, help="Peak learning rate. 0: by encoder.")] = 0.0,
    encoder: Annotated[
        str,
        typer.Option(help="auto, convnet, mlp, hf:FOLDER_OR_NAME (transformers), or python:MODULE:FACTORY (yours)."),
    ] = "auto",
    weight_decay: Annotated[float, typer.Option(min=0, help="Of AdamW.")] = 1e-4,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME.FIELD=VALUE",
            help="A setting of the method or encoder; `skipfill methods --settings` lists them. Repeatable.",
        ),
    ] = None,
    dim: Annotated[
        int,
        typer.Option(min=0, help="Of an independent model. 0: 32 more than the gallery has, 128 without one."),
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Same seed, same weights.")] = 0,
    precision: Annotated[str, typer.Option(help="auto, bf16 or f32, for the encoder.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda. Several processes: torchrun.")] = "auto",
    accumulate: Annotated[int, typer.Option(min=1, help="Parts that a batch is encoded in: less memory.")] = 1,
    validation: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of the items held out; the best epoch on them is kept.")
    ] = 0.0,
    patience: Annotated[int, typer.Option(min=0, help="Stop after so many epochs that were not better. 0: never.")] = 0,
    log: Annotated[
        str,
        typer.Option(
            "--log",
            "--log-file",
            help="File for one line of NDJSON an epoch, appended. -: stdout. torchrun: --log-file.",
        ),
    ] = "",
    restart: Annotated[bool, typer.Option("--restart", help="Drop an unfinished run of this name.")] = False,
    id_column: IdColumn = "id",
    label: LabelColumn = "label",
    input_column: InputColumn = "",
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a model: from nothing, or so that its queries search a stored gallery as it is.

    Rows of a mixed gallery that a later model made are left out: they are no examples of the old space.
    Without --method: gallery when a gallery is named, independent otherwise.
    A killed run goes on from its last epoch when the same command is given again.

    Example: skipfill train v2 --gallery products --items items.parquet --method oca --set oca.extra_dims=64
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        # DDP would warn, in C++, of an option that users' encoders may need.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from skipfill.compat.progress import Progress
    from skipfill.compat.training.loop.distributed import launched
    from skipfill.compat.training.overrides import read_settings
    from skipfill.compat.training.recipe import Recipe, Sources
    from skipfill.compat.training.train import train_model
    from skipfill.store.errors import BadInput, Parameter

    if log == "-" and json:
        raise BadInput(Parameter("log"), expected="a file: stdout has the document of --json", found="-")
    first = launched().first
    objects = opened(store, to_write=True)
    recipe = Recipe(
        method=method or ("gallery" if gallery else "independent"),
        encoder=encoder,
        dim=dim,
        epochs=epochs,
        batch=batch,
        lr=lr,
        weight_decay=weight_decay,
        seed=seed,
        precision=cast("Precision", precision),
        device=cast("Device", device),
        accumulate=accumulate,
        validation=validation,
        patience=patience,
        settings=read_settings(settings or []),
        presets=context.obj.settings,
    )
    sources = Sources(
        items=items,
        gallery=gallery,
        teacher=teacher,
        slots_of=slots_of or [],
        start_from=start_from,
        align=align or [],
        hold_out=hold_out or [],
        columns=item_columns(id_column, label, input_column, items, quiet=quiet or not first),
    )
    began = time.monotonic()
    written = log_file(log if first else "", sources.files, objects.root)
    with progress(quiet=quiet or not first) as bar, written as write_epoch:
        watcher = watcher_of(objects, name, gallery, bar, write_epoch, quiet=quiet or not first)
        stages = Progress(bar.start, bar.advance)
        card = train_model(objects, name, recipe, sources, stages, watcher, restart=restart)
    if not first:
        return
    seconds = time.monotonic() - began
    show_trained(objects, card, seconds, sources.columns, log_on_stdout=log == "-", as_json=json, quiet=quiet)
