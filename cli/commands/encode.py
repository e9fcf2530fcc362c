"""skipfill encode"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from skipfill.cli import completion
from skipfill.cli.options import (
    BlendedVector,
    IdColumn,
    InputColumn,
    Json,
    LabelColumn,
    ModelName,
    Quiet,
    Store,
    item_columns,
    opened,
)
from skipfill.cli.options.engine import EngineName, RayAddress, engine_of
from skipfill.cli.reports.gallery import crowding_note
from skipfill.cli.terminal.next_command import quoted
from skipfill.cli.terminal.printing import emit, progress, show_next


def encode(
    name: ModelName,
    items: Annotated[
        list[Path], typer.Argument(metavar="FILES", help="Parquet with id, and one of image, vector or text.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Parquet file to write; it must not exist.")
    ],
    onto: Annotated[
        str,
        typer.Option(
            metavar="SPACE",
            help="Space to encode into, for rows of an older gallery. Default: the model's own space.",
            autocompletion=completion.spaces,
        ),
    ] = "",
    id_column: IdColumn = "id",
    label: LabelColumn = "label",
    input_column: InputColumn = "",
    old_vector: BlendedVector = "",
    engine: EngineName = "local",
    address: RayAddress = "",
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Encode items into a Parquet file of ids, vectors and labels.

    Items without labels are fine. To add new items to a gallery of v1 after a swap to v2: encode them with v1, then
    `skipfill gallery append`. Where v1 is gone, encode them with v2 and `--onto v1`; such rows tend to crowd out
    those by v1.

    Example: skipfill encode v1 items.parquet -o gallery.parquet
    """
    from skipfill.compat.inference.encode import write_encoded
    from skipfill.compat.inference.witness import verified_model
    from skipfill.store.galleries.log import galleries_of
    from skipfill.store.parquet.items import open_items

    objects = opened(store)
    model = verified_model(objects, name)
    columns = item_columns(id_column, label, input_column, items, quiet=quiet, other_than=old_vector)
    source = open_items(items, replace(columns, old_vector=old_vector))
    with engine_of(engine, address) as run_by, progress(quiet=quiet) as bar:
        bar.start(f"encoding with {name}", len(source))
        rows = write_encoded(model, source, output, bar.advance, onto=onto, engine=run_by)
    dim, where = (model.card.views[onto].dim, f", in space {onto}") if onto else (model.card.dim, "")
    emit(
        {"model": name, "rows": rows, "dim": dim, "space": onto or name, "output": str(output)},
        as_json=json,
        show=lambda out: out.print(f"Encoded {rows:,} items with {name} (dim {dim}{where}) into {output}"),
    )
    for following in _next(galleries_of(objects, onto or name), name, onto, output):
        show_next(following, quiet=quiet)
    if onto and onto != name:
        show_next(crowding_note(objects, name, onto), quiet=quiet)


def _next(galleries: list[str], name: str, onto: str, output: Path) -> list[str]:
    """The next commands, a line each: what was encoded may be queries, or rows."""
    file = quoted(output)
    if galleries:
        search = f"skipfill search {galleries[0]} --vectors {file}"
        append = f"skipfill gallery append {galleries[0]} {file}"
        return [f"Next, if these are queries: {search}", f"Next, if these are new rows: {append}"]
    if onto and onto != name:
        return [f"Next: skipfill gallery append GALLERY {file}"]
    return [f"Next: skipfill gallery add NAME {file} --space {name}"]
