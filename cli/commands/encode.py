"""skipfill encode"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skipfill.cli import completion
from skipfill.cli.options import (
    COLUMNS,
    IdColumn,
    InputColumn,
    Json,
    LabelColumn,
    ModelName,
    Quiet,
    Store,
    opened,
)
from skipfill.cli.options.engine import EngineName, RayAddress, engine_of
from skipfill.cli.options.pipes import DASH, Format, corpora, given_items, output_form, refuse_engine, row_output
from skipfill.cli.reports.gallery import crowding_note
from skipfill.cli.terminal.next_command import quoted
from skipfill.cli.terminal.printing import emit, show_next
from skipfill.cli.terminal.progress import progress


def encode(
    name: ModelName,
    items: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILES",
            help="Rows with id, and one of image, vector or text: Parquet, JSON lines, Arrow, or - for stdin.",
            callback=corpora,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Parquet file to write, which must not exist; or - for stdout."
        ),
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
    old_vector: Annotated[
        str,
        typer.Option(
            metavar="COLUMN",
            help="Column with the old encoder's vectors, for a blend that does not contain it. Default: none.",
            rich_help_panel=COLUMNS,
        ),
    ] = "",
    form: Format = "",
    engine: EngineName = "local",
    address: RayAddress = "",
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Encode items; write ids, vectors and labels to Parquet or a pipe.

    Items need no labels. To add new items to a gallery of v1 after a swap to v2, encode them with v1, then use
    `skipfill gallery append`. If v1 is gone, encode them with v2 and `--onto v1`; such rows tend to crowd out those
    by v1. Pipes are read and written in blocks, so rows need not fit in memory: see `skipfill guide formats`.

    Example: skipfill encode v1 items.parquet -o gallery.parquet
    """
    from skipfill.compat.inference.encode import encoded_rows
    from skipfill.compat.inference.witness import verified_model
    from skipfill.store.galleries.log import galleries_of
    from skipfill.store.parquet.items import BLOCK_ROWS

    written_as = output_form(output, form, json=json)
    refuse_engine(engine, items)
    objects = opened(store)
    model = verified_model(objects, name)
    source = given_items(items, id_column, label, input_column, old_vector, BLOCK_ROWS, quiet=quiet)
    with (
        engine_of(engine, address) as run_by,
        row_output(output, written_as) as written,
        progress(quiet=quiet, in_pipe=DASH in (*items, output)) as bar,
    ):
        bar.start(f"encoding with {name}", source.count)
        for rows in encoded_rows(model, source.parts, onto, source.labelled, run_by):
            written.write(rows)
            bar.advance(len(rows))
    dim, where = (model.card.views[onto].dim, f", in space {onto}") if onto else (model.card.dim, "")
    if output == DASH:
        return
    emit(
        {"model": name, "rows": written.rows, "dim": dim, "space": onto or name, "output": str(output)},
        as_json=json,
        show=lambda out: out.print(f"Encoded {written.rows:,} items with {name} (dim {dim}{where}) into {output}"),
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
