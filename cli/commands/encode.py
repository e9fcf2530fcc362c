"""skipfill encode"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skipfill.cli.options import IdColumn, InputColumn, Json, LabelColumn, ModelName, Quiet, Store, item_columns, opened
from skipfill.cli.terminal import advise, emit, progress


def encode(
    name: ModelName,
    items: Annotated[
        list[Path], typer.Argument(metavar="FILES...", help="Parquet with id, and image, vector or text.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Parquet file to write; it must not exist.")],
    id_column: IdColumn = "id",
    label: LabelColumn = "label",
    input_column: InputColumn = "",
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Encode items into a Parquet file of vectors: id, vector and, if the items have one, label.

    Example: skipfill encode v1 items.parquet -o gallery.parquet
    """
    from skipfill.compat.encoding import write_encoded
    from skipfill.compat.witness import verified_model
    from skipfill.store.items import open_items

    model = verified_model(opened(store), name)
    source = open_items(items, item_columns(id_column, label, input_column))
    with progress(quiet=quiet) as bar:
        bar.start(f"encoding with {name}", len(source))
        rows = write_encoded(model, source, output, bar.advance)
    emit(
        {"model": name, "rows": rows, "dim": model.card.dim, "output": str(output)},
        as_json=json,
        show=lambda out: out.print(f"Encoded {rows:,} items with {name} (dim {model.card.dim}) into {output}"),
    )
    advise(f"Next: skipfill gallery add NAME {output} --space {name}", quiet=quiet)
