"""skipfill overlay add | list | show | verify | rollback | drop"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skipfill.cli import completion
from skipfill.cli.error_messages import message
from skipfill.cli.options import GalleryName, IdColumn, InputColumn, Json, ModelName, Quiet, Store, item_columns, opened
from skipfill.cli.options.pipes import corpora
from skipfill.cli.options.reason import Reason
from skipfill.cli.terminal.help_page import HelpGroup
from skipfill.cli.terminal.overlay_summary import after_adding, bytes_of, overlay_fields, print_overlay, show_change
from skipfill.cli.terminal.printing import counted, emit, show_next, table
from skipfill.cli.terminal.progress import progress

if TYPE_CHECKING:
    from skipfill.store.overlays.log import OverlayVersion
    from skipfill.store.storage.object_store import ObjectStore

OverlayModel = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="Model that made the vectors, or the beginning of its fingerprint.",
        autocompletion=completion.models,
    ),
]
app = typer.Typer(
    help="Vectors by a newer model for some rows of a gallery, for re-ranking.", no_args_is_help=True, cls=HelpGroup
)


@app.command()
def add(
    gallery: GalleryName,
    model: ModelName,
    items: Annotated[
        list[Path],
        typer.Option(
            metavar="FILE",
            help="Items to encode, with the ids of gallery rows: Parquet, JSON lines, Arrow, or a BEIR folder. "
            "Repeatable.",
            callback=corpora,
        ),
    ],
    id_column: IdColumn = "id",
    input_column: InputColumn = "",
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Encode rows of a gallery with a newer model, and keep their vectors beside it.

    Items that are not rows of the gallery are left out, and so are rows that have a vector already. If the command is
    killed, run it again. A row whose item has changed is encoded again. The gallery and its checks stay as they are.

    Example: skipfill overlay add products v2 --items items.parquet
    """
    from skipfill.cli.documents.running_models import FilledOverlayDocument
    from skipfill.compat.inference.witness import verified_model
    from skipfill.compat.progress import Progress
    from skipfill.compat.reranking.fill import fill_overlay
    from skipfill.store.galleries.gallery import open_gallery
    from skipfill.store.parquet.items import open_items

    objects = opened(store, to_write=True)
    opened_gallery = open_gallery(objects, gallery)
    loaded = verified_model(objects, model)
    source = open_items(items, item_columns(id_column, "label", input_column, items, quiet=quiet))
    with progress(quiet=quiet) as bar:
        done = fill_overlay(objects, opened_gallery, loaded, source, Progress(bar.start, bar.advance))
    left_out = f"; not rows of the gallery: {counted(done.no_rows, 'item')}" if done.no_rows else ""
    emit(
        FilledOverlayDocument(gallery=gallery, model=model, **asdict(done)),
        as_json=json,
        show=lambda out: out.print(
            f"Added {done.added:,} vectors by {model}; {done.already:,} were there already{left_out}. The overlay of "
            f"{gallery} has {done.rows:,} (version {done.version})."
        ),
    )
    show_next(f"Next: {after_adding(objects, gallery, loaded.card)}", quiet=quiet)


@app.command("list")
def list_overlays(store: Store = None, json: Json = False) -> int:
    """List the overlays. Exit 2: the log of one is damaged.

    Example: skipfill overlay list
    """
    from skipfill.cli.documents.overlays import OverlayDocument, OverlayListDocument
    from skipfill.store.overlays.listing import newest_entries

    overlays = newest_entries(opened(store))
    rows = [
        (gallery, entry.model, entry.fingerprint[:12], f"{entry.rows:,}", f"{bytes_of(entry):,}", entry.number)
        for gallery, entry in overlays.in_force
    ]
    columns = ["gallery", "model", "fingerprint", "vectors", "bytes", "version"]
    faults = {name: message(fault) for name, fault in overlays.faults.items()}
    code = 2 if faults else 0
    listed = [OverlayDocument(**overlay_fields(gallery, entry)) for gallery, entry in overlays.in_force]
    emit(
        OverlayListDocument(listed, faults),
        as_json=json,
        show=lambda out: out.print(
            table(columns, rows, numbers=columns[3:], wrap=["gallery", "model"]),
            *(f"{name}: {fault}" for name, fault in faults.items()),
            sep="\n",
        ),
        exit_code=code,
    )
    return code


@app.command()
def show(gallery: GalleryName, model: OverlayModel, store: Store = None, json: Json = False) -> None:
    """Show an overlay: the number of its vectors, its files, and its last changes.

    Example: skipfill overlay show products v2
    """
    from skipfill.cli.documents.overlays import OverlayHistoryDocument
    from skipfill.store.overlays.listing import overlay_history

    objects = opened(store)
    entry = _entry(objects, gallery, model)
    log = overlay_history(objects, gallery, entry.fingerprint)
    emit(
        OverlayHistoryDocument(**overlay_fields(gallery, entry), versions=log),
        as_json=json,
        show=lambda out: print_overlay(out, gallery, entry, log),
    )


@app.command()
def verify(
    gallery: GalleryName, model: OverlayModel, store: Store = None, json: Json = False, quiet: Quiet = False
) -> None:
    """Read every file of an overlay and compare it with its digest.

    Example: skipfill overlay verify products v2
    """
    from skipfill.cli.documents.overlays import OverlayDocument
    from skipfill.store.overlays.listing import verify_overlay

    objects = opened(store)
    entry = _entry(objects, gallery, model)
    with progress(quiet=quiet) as bar:
        bar.start("reading vectors", entry.rows)
        verify_overlay(objects, gallery, entry, bar.advance)
    files = f"{len(entry.files):,} {'file' if len(entry.files) == 1 else 'files'}"
    emit(
        OverlayDocument(**overlay_fields(gallery, entry)),
        as_json=json,
        show=lambda out: out.print(f"All {entry.rows:,} vectors in {files} are as they were added."),
    )


@app.command()
def rollback(
    gallery: GalleryName,
    model: OverlayModel,
    to: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="VERSION",
            help="Version of the overlay to bring back. Default: the one before the last addition or drop.",
        ),
    ] = None,
    reason: Reason = "",
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Take an overlay back to the vectors of an earlier version.

    For a second rollback in a row, name the version with `--to`. Exit 4: `--to` is needed, or another
    change came first.

    Example: skipfill overlay rollback products v2
    """
    from skipfill.store.overlays.change import roll_back_overlay

    objects = opened(store, to_write=True)
    before = _entry(objects, gallery, model)
    done = roll_back_overlay(objects, gallery, before.fingerprint, reason, to or 0)
    what = "Nothing to do" if done.already else "Rolled back"
    show_change(
        gallery, done, f"{what}: the overlay of {gallery} by {model} has {done.entry.rows:,} vectors", as_json=json
    )
    if not done.already:
        show_next(f"Undo: skipfill overlay rollback {gallery} {model} --to {done.entry.number - 1}", quiet=quiet)


@app.command()
def drop(
    gallery: GalleryName,
    model: OverlayModel,
    reason: Reason = "",
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Drop an overlay. Its files stay until `skipfill prune --yes` removes them.

    Prune keeps files that are younger than an hour. While the files are there, `skipfill overlay rollback`
    brings the overlay back.

    Example: skipfill overlay drop products v2
    """
    from skipfill.store.overlays.change import drop_overlay

    objects = opened(store, to_write=True)
    before = _entry(objects, gallery, model)
    done = drop_overlay(objects, gallery, before.fingerprint, reason)
    what = "was dropped already" if done.already else f"dropped, with {before.rows:,} vectors"
    show_change(gallery, done, f"Overlay of {gallery} by {model}: {what}", as_json=json)
    if not done.already:
        show_next(f"Undo: skipfill overlay rollback {gallery} {model} --to {done.entry.number - 1}", quiet=quiet)


def _entry(objects: ObjectStore, gallery: str, model: str) -> OverlayVersion:
    """The newest entry of the overlay by the model of this name in the store, or by one that was there."""
    from skipfill.store.models.cards import has_model, load_card
    from skipfill.store.overlays.listing import overlay_by
    from skipfill.store.storage.layout import is_name

    there = is_name(model) and has_model(objects, model)
    return overlay_by(objects, gallery, model, load_card(objects, model).fingerprint if there else "")
