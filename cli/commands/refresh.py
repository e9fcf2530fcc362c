"""skipfill gallery refresh"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from skipfill.cli.commands.gallery import show_gallery
from skipfill.cli.options import DryRun, GalleryName, Json, Quiet, Store, opened
from skipfill.cli.terminal.printing import progress, show_next

if TYPE_CHECKING:
    from skipfill.store.galleries.row_marks import RowChanges


def refresh(
    name: GalleryName,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILES]", help="Files that replace the registered ones. Default: the same ones again."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Recorded in the history.")] = "",
    dry_run: DryRun = False,
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Register a gallery's files as they are now, as a new version; says how many rows came, went and changed.

    For files that are rewritten, every night for example. Read whole once, like `add`. The release stays; checks made
    before no longer allow a swap. Exit 4: another change was first, or a file changed while it was read.

    Example: skipfill gallery refresh products
    """
    from skipfill.store.galleries.log import latest
    from skipfill.store.galleries.refresh import refresh_gallery
    from skipfill.store.storage.address import address

    objects = opened(store, to_write=not dry_run)
    with progress(quiet=quiet) as bar:
        bar.start("verifying rows", latest(objects, name).rows)
        done = refresh_gallery(
            objects, name, [address(file, "FILES") for file in files or ()], reason, bar.advance, dry_run=dry_run
        )
    title = "Would refresh" if dry_run else "Refreshed"
    show_gallery(
        done.gallery,
        as_json=json,
        title=title if done.changed else "Nothing changed in",
        more={"changed": done.changed, "row_changes": None if done.rows is None else asdict(done.rows)},
        rows=[("compared", _said(done.rows))],
    )
    if done.changed:
        show_next(f"Checks made before count no more: skipfill check {name} MODEL --items HELDOUT.parquet", quiet=quiet)


def _said(changes: RowChanges | None) -> str:
    if changes is None:
        return "not known: the registered rows were not kept count of"
    return f"{changes.came:,} rows came, {changes.went:,} went, {changes.changed:,} changed"
