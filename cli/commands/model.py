"""skipfill model list | show | plot"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from skipfill.cli.options import Json, ModelName, Store, opened
from skipfill.cli.terminal import emit, table

app = typer.Typer(help="Look at the models in the store.", no_args_is_help=True)


@app.command("list")
def list_models(store: Store = None, json: Json = False) -> None:
    """List the models: method, dimension, classes, and the spaces they have a view onto.

    Example: skipfill model list
    """
    from skipfill.store.models import load_card, model_names

    objects = opened(store)
    cards = [load_card(objects, name) for name in model_names(objects)]
    rows = [(card.name, card.method, card.dim, len(card.trained_labels), ", ".join(card.views)) for card in cards]
    emit(
        {"models": [asdict(card) for card in cards]},
        as_json=json,
        show=lambda out: out.print(
            table(["model", "method", "dim", "classes", "views onto"], rows, numbers=["dim", "classes"])
        ),
    )


@app.command()
def show(name: ModelName, store: Store = None, json: Json = False) -> None:
    """Show a model's card: what it was trained on and how.

    Example: skipfill model show v2
    """
    from skipfill.store.models import load_card

    card = load_card(opened(store), name)
    against = f"{card.gallery.get('name')} version {card.gallery.get('version')}" if card.gallery else "-"
    encoder = card.network.get("encoder")
    rows = [
        ("method", card.method),
        ("encoder", f"{encoder.get('kind')} {encoder.get('settings')}" if isinstance(encoder, dict) else "-"),
        ("dim", card.dim),
        ("views onto", ", ".join(f"{space} ({view.kind} {view.dim})" for space, view in card.views.items())),
        ("class slots", f"{len(card.slots):,} of {card.dim + 1:,} vertices" if card.slots else "-"),
        ("trained on", f"{card.trained_items:,} items of {len(card.trained_labels):,} classes"),
        ("against gallery", against),
        ("training", ", ".join(f"{name}={value}" for name, value in card.training.items()) or "-"),
        ("recipe", ", ".join(f"{name}={value}" for name, value in card.recipe.items())),
        ("last losses", ", ".join(f"{name} {value:.3f}" for name, value in card.losses.items())),
        ("created", card.created),
        ("fingerprint", card.fingerprint[:16]),
    ]
    emit(
        {"model": asdict(card), "fingerprint": card.fingerprint},
        as_json=json,
        show=lambda out: out.print(Text(f"Model {card.name}", "bold"), table(["", ""], rows), sep="\n"),
    )


@app.command()
def plot(
    name: ModelName,
    output: Annotated[Path, typer.Option("--output", "-o", help="Picture to write: .svg, .png or .pdf.")],
    store: Store = None,
) -> None:
    """Draw a model's losses, epoch by epoch.

    Example: skipfill model plot v2 -o loss.svg
    """
    from skipfill.cli.loss_plot import draw_losses
    from skipfill.compat.epochs import Epoch
    from skipfill.store.errors import BadInput
    from skipfill.store.models import LOG, load_card, read_file
    from skipfill.store.strict_json import fitted, parsed

    objects = opened(store)
    card = load_card(objects, name)
    best, where = card.training.get("best_epoch"), f"{LOG} of model {name}"
    if not card.training.get("epochs") or not isinstance(best, int):
        raise BadInput(f"model {name}", expected="a model with the log of its training", found="none in its bundle")
    lines = read_file(objects, card, LOG).splitlines()
    epochs = [asdict(fitted(Epoch, parsed(line, where), where, {})) for line in lines]
    if not epochs or any(one["losses"].keys() != epochs[0]["losses"].keys() for one in epochs):
        raise BadInput(where, expected="the same losses in every epoch", found="others, or no epoch")
    draw_losses(name, epochs, best, output)
    print(output)
