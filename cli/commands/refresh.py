"""skipfill gallery refresh"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from skipfill.cli.options import DryRun, GalleryName, Json, Quiet, Store, opened
from skipfill.cli.options.reason import Reason
from skipfill.cli.reports.gallery import show_gallery
from skipfill.cli.reports.outlook import next_step
from skipfill.cli.terminal.printing import show_next
from skipfill.cli.terminal.progress import progress

if TYPE_CHECKING:
    from skipfill.store.galleries.row_marks import RowChanges


def refresh(
    name: GalleryName,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILES", help="Files in place of the registered ones. Default: the same files."),
    ] = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Register a gallery's files again, after they were rewritten.

    Says how many rows were added, removed and changed. Queries use the same model as before. Earlier checks no longer
    allow a swap. Exit 4: another change came first, or a file changed while it was read.

    Example: skipfill gallery refresh products
    """
    from skipfill.cli.documents.galleries import RefreshedGalleryDocument
    from skipfill.store.galleries.log import latest
    from skipfill.store.galleries.refresh import refresh_gallery
    from skipfill.store.storage.address import address

    objects = opened(store, to_write=not dry_run)
    with progress(quiet=quiet) as bar:
        bar.start("reading rows", latest(objects, name).rows)
        done = refresh_gallery(
            objects, name, [address(file, "FILES") for file in files or ()], reason, bar.advance, dry_run=dry_run
        )
    title = "Would refresh" if dry_run else "Refreshed"
    show_gallery(
        done.gallery,
        as_json=json,
        title=title if done.changed else "Nothing changed in",
        as_document=partial(RefreshedGalleryDocument, changed=done.changed, row_changes=done.rows),
        rows=[("compared", _said(done.rows))],
    )
    if done.changed:
        following = "the same command without --dry-run" if dry_run else next_step(objects, name)
        show_next(f"Earlier checks no longer allow a swap. Next: {following}", quiet=quiet)


def _said(changes: RowChanges | None) -> str:
    if changes is None:
        return "not known: this gallery was registered without a record of its rows"
    return f"{changes.came:,} rows added, {changes.went:,} removed, {changes.changed:,} changed"
