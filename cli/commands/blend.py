"""skipfill blend"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from skipfill.cli.options import Json, Quiet, Store, opened
from skipfill.cli.terminal.printing import emit, show_next


def blend(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model to make.")],
    new: Annotated[str, typer.Option(help="Compatible model that is good where it was trained.")],
    old: Annotated[str, typer.Option(help="The model that filled the gallery.")],
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make one model of two: the new one where it is sure, the old encoder where it is not. Trains nothing.

    For galleries with classes that nobody labelled, while the old encoder still runs; queries cost both.

    Example: skipfill blend v2-safe --new v2 --old v1
    """
    from skipfill.compat.training.blend import blend_models

    card = blend_models(opened(store), name, new, old)
    emit(
        {"model": asdict(card), "fingerprint": card.fingerprint},
        as_json=json,
        show=lambda out: out.print(f"Blended {name}: {new} where it is sure, {old} where it is not (dim {card.dim})"),
    )
    gallery = card.gallery.get("name", "GALLERY")
    show_next(f"Next: skipfill check {gallery} {name} --items HELDOUT.parquet", quiet=quiet)
