"""skipfill blend"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from skipfill.cli import completion
from skipfill.cli.commands.overview import searchable
from skipfill.cli.options import Json, Quiet, Store, opened
from skipfill.cli.terminal.printing import emit, show_next


def blend(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model to make.")],
    new: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="Compatible model, which is used for queries like those it was trained on.",
            autocompletion=completion.models,
        ),
    ],
    old: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="Model that encoded the gallery, which is used for the other queries.",
            autocompletion=completion.models,
        ),
    ],
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Combine two models: the new one where it is sure, else the old.

    For a gallery with classes that have no labels, while the old encoder still runs. Nothing is trained. A query is
    encoded by both models.

    Example: skipfill blend v2-safe --new v2 --old v1
    """
    from skipfill.compat.training.blend import blend_models

    objects = opened(store)
    card = blend_models(objects, name, new, old)
    emit(
        {"model": asdict(card), "fingerprint": card.fingerprint},
        as_json=json,
        show=lambda out: out.print(f"Blended {name}: {new} where it is sure, {old} where it is not (dim {card.dim})"),
    )
    show_next(f"Next: skipfill check {searchable(objects, card)} {name} --items HELDOUT.parquet", quiet=quiet)
