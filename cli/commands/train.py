"""skipfill train"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated, cast

import typer

from skipfill.cli.options import IdColumn, InputColumn, Json, LabelColumn, Quiet, Store, item_columns, opened
from skipfill.cli.options.train import (
    Accumulate,
    Align,
    Batch,
    DeviceName,
    Dim,
    Encoder,
    Epochs,
    Gallery,
    HoldOut,
    Items,
    Log,
    Lr,
    Method,
    Patience,
    PrecisionName,
    Restart,
    Seed,
    Settings,
    SlotsOf,
    StartFrom,
    Teacher,
    Threads,
    Validation,
    WeightDecay,
)
from skipfill.cli.terminal.progress import progress
from skipfill.cli.terminal.training_progress import log_file, show_trained, watcher_of

if TYPE_CHECKING:
    from skipfill.compat.training.loop.device import Device, Precision


def train(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="MODEL", help="Name of the new model.")],
    items: Items,
    gallery: Gallery = "",
    align: Align = None,
    hold_out: HoldOut = None,
    method: Method = "",
    epochs: Epochs = 0,
    encoder: Encoder = "auto",
    dim: Dim = 0,
    settings: Settings = None,
    seed: Seed = 0,
    start_from: StartFrom = "",
    teacher: Teacher = "",
    slots_of: SlotsOf = None,
    batch: Batch = 0,
    accumulate: Accumulate = 1,
    lr: Lr = 0.0,
    weight_decay: WeightDecay = 1e-4,
    validation: Validation = 0.0,
    patience: Patience = 0,
    device: DeviceName = "auto",
    precision: PrecisionName = "auto",
    threads: Threads = 0,
    log: Log = "",
    restart: Restart = False,
    id_column: IdColumn = "id",
    label: LabelColumn = "label",
    input_column: InputColumn = "",
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a model whose queries search a stored gallery as it is.

    Without `--gallery`, train a model from scratch. Rows of a mixed gallery that a later model encoded are left out:
    they are not examples of the old space. After an interruption, repeat the command to resume after the last finished
    epoch.

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

    _refuse(method, log, restart=restart, json=json)
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
        threads=threads,
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


def _refuse(method: str, log: str, *, restart: bool, json: bool) -> None:
    """Refuse options that exclude each other."""
    from skipfill.compat.methods.registry import ADAPTERS
    from skipfill.store.errors import Advice, BadInput, Parameter

    if log == "-" and json:
        raise BadInput(Parameter("log"), expected="a file: stdout has the document of --json", found="-")
    for option, given in (("log", log), ("restart", restart)):
        if given and method in ADAPTERS:
            raise BadInput(
                Parameter(option),
                expected="a method that is trained in epochs",
                found=f"method {method}, which is fitted in closed form",
                hint=Advice("leave_out", parameter=option),
            )
