"""skipfill gallery add | append | show | list; `refresh.py`, `verify.py` and `drop.py` have the others"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from skipfill.cli import completion
from skipfill.cli.error_messages import message
from skipfill.cli.options import COLUMNS, DryRun, GalleryName, IdColumn, Json, Quiet, Store, VectorColumn, opened
from skipfill.cli.options.reason import Reason
from skipfill.cli.reports.gallery import crowding_note, note_other_vectors, show_gallery
from skipfill.cli.reports.outlook import next_step
from skipfill.cli.terminal.help_page import HelpGroup
from skipfill.cli.terminal.new_space import note_new_space
from skipfill.cli.terminal.printing import emit, show_next, table
from skipfill.cli.terminal.progress import progress

if TYPE_CHECKING:
    from skipfill.store.models.release import Release
    from skipfill.store.spaces import Space
    from skipfill.store.storage.object_store import ObjectStore

ParquetFiles = Annotated[
    list[str],
    typer.Argument(metavar="FILES", help="Parquet files, folders of them, or s3://bucket/part-*.parquet."),
]
app = typer.Typer(help="Register galleries in place, and look at them.", no_args_is_help=True, cls=HelpGroup)


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="GALLERY", help="Name of the new gallery.")],
    files: ParquetFiles,
    space: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Space of the vectors: the model that made them, or a new name for an encoder outside the store.",
            autocompletion=completion.spaces,
        ),
    ],
    metric: Annotated[
        str,
        typer.Option(
            metavar="METRIC",
            help="Similarity in a new space: cosine, or ip (inner product).",
            autocompletion=completion.one_of("cosine", "ip"),
        ),
    ] = "cosine",
    id_column: IdColumn = "id",
    vector: VectorColumn = "vector",
    label: Annotated[
        str,
        typer.Option(
            metavar="COLUMN", help="Column with the labels. Default: label, if there is one.", rich_help_panel=COLUMNS
        ),
    ] = "",
    vector_type: Annotated[
        str,
        typer.Option(
            metavar="TYPE",
            help="Type of one number, if the vectors are not lists of floats: int8 for lists of int8; int8, float16, "
            "float32 or float64 for fixed-size binary values. Default: none.",
            rich_help_panel=COLUMNS,
            autocompletion=completion.one_of("int8", "float16", "float32", "float64"),
        ),
    ] = "",
    scale: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="With int8, which needs it: coordinate = number times N. Default: none.",
            rich_help_panel=COLUMNS,
        ),
    ] = None,
    dry_run: DryRun = False,
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Register Parquet files as a gallery, without copying them.

    The files are read once and never changed.

    Example: skipfill gallery add products gallery.parquet --space v1
    """
    from skipfill.store.galleries.register import add_gallery
    from skipfill.store.parquet.files import expand_addresses, open_parquet
    from skipfill.store.parquet.stored_rows import Columns
    from skipfill.store.parquet.vectors import Numbers
    from skipfill.store.storage.address import address

    objects = opened(store, to_write=not dry_run)
    paths = expand_addresses([address(file, "FILES") for file in files])
    footers = [open_parquet(path) for path in paths]
    label = label or ("label" if all("label" in footer.schema_arrow.names for footer in footers) else "")
    note_new_space(objects, space, quiet=quiet)
    columns = Columns(id_column, vector, label, Numbers.declared(vector_type, scale))
    space_of_rows, release = _space(objects, space, metric)
    with progress(quiet=quiet) as bar:
        bar.start("reading rows", sum(footer.metadata.num_rows for footer in footers))
        made = add_gallery(objects, name, paths, columns, space_of_rows, release, bar.advance, dry_run=dry_run)
    show_gallery(made, as_json=json, title="Would register" if dry_run else "Registered")
    note_other_vectors(footers[0].schema_arrow, vector, name, quiet=quiet)
    train = f"skipfill train {_free_name(objects)} --gallery {name} --items ITEMS.parquet"
    show_next(f"Next: {'the same command without --dry-run' if dry_run else train}", quiet=quiet)


@app.command()
def append(
    name: GalleryName,
    files: ParquetFiles,
    reason: Reason = "",
    dry_run: DryRun = False,
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Add files of new rows to a gallery.

    The files need the gallery's columns, and vectors in its space: made by the gallery's model, or by a later one with
    `skipfill encode v2 ... --onto v1`. Rows by a later model tend to crowd out the others, so use the gallery's model
    while you have it. Queries use the same model as before. Earlier checks no longer allow a swap.
    Exit 4: another change came first, or a registered file has changed.

    Example: skipfill gallery append products more.parquet
    """
    from skipfill.store.galleries.append import append_rows
    from skipfill.store.parquet.files import expand_addresses, open_parquet
    from skipfill.store.storage.address import address

    objects = opened(store, to_write=not dry_run)
    paths = expand_addresses([address(file, "FILES") for file in files])
    with progress(quiet=quiet) as bar:
        bar.start("reading rows", sum(open_parquet(path).metadata.num_rows for path in paths))
        made = append_rows(objects, name, paths, reason, bar.advance, dry_run=dry_run)
    show_gallery(made, as_json=json, title="Would append to" if dry_run else "Appended to")
    if later := sorted({file.model for file in made.files[-len(paths) :] if file.encoder}):
        show_next(crowding_note(objects, ", ".join(later), made.space.name), quiet=quiet)
    following = "the same command without --dry-run" if dry_run else next_step(objects, name)
    show_next(f"Next: {following}", quiet=quiet)


@app.command()
def show(name: GalleryName, store: Store = None, json: Json = False) -> None:
    """Show a gallery: rows, files, space, and the model that queries use.

    Example: skipfill gallery show products
    """
    from skipfill.store.galleries.gallery import open_gallery

    show_gallery(open_gallery(opened(store), name), as_json=json, title="Gallery")


@app.command("list")
def list_galleries(store: Store = None, json: Json = False) -> int:
    """List the galleries. Exit 2: the log of one is damaged.

    Example: skipfill gallery list
    """
    from skipfill.cli.documents.galleries import GalleryListDocument, NamedVersion
    from skipfill.store.galleries.log import newest_versions

    galleries = newest_versions(opened(store))
    rows = [(name, now.rows, now.space, now.queries_use, now.number) for name, now in galleries.in_force.items()]
    columns = ["gallery", "rows", "space", "queries use", "version"]
    faults = {name: message(fault) for name, fault in galleries.faults.items()}
    code = 2 if faults else 0
    emit(
        GalleryListDocument(
            [NamedVersion(name=name, **asdict(now)) for name, now in galleries.in_force.items()], faults
        ),
        as_json=json,
        show=lambda out: out.print(
            table(columns, rows, numbers=["rows", "version"], wrap=["gallery", "space", "queries use"]),
            *(f"{name}: {fault}" for name, fault in faults.items()),
            sep="\n",
        ),
        exit_code=code,
    )
    return code


def _free_name(objects: ObjectStore) -> str:
    """A name that no model has: v2, or one with a higher number."""
    from itertools import count

    from skipfill.store.models.cards import has_model

    return next(name for name in (f"v{number}" for number in count(2)) if not has_model(objects, name))


def _space(objects: ObjectStore, name: str, metric: str) -> tuple[Space, Release | None]:
    """The space called `name`: a registered one, a model's own, or a new one known only by its vectors."""
    from skipfill.store.errors import unknown_name
    from skipfill.store.models.cards import load_card, model_names
    from skipfill.store.models.release import Release
    from skipfill.store.spaces import Space, View, load_space, space_names
    from skipfill.store.storage.layout import valid_name

    if metric not in ("cosine", "ip"):
        raise unknown_name("metric", metric, ["cosine", "ip"])
    if valid_name("space", name) in model_names(objects):
        card = load_card(objects, name)
        return card.space, Release(card.name, card.fingerprint, View(card.dim))
    if name in space_names(objects):
        return load_space(objects, name), None
    return Space(name, 0, "ip" if metric == "ip" else "cosine"), None
