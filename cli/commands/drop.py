"""skipfill gallery drop"""

from __future__ import annotations

from typing import Annotated

import typer

from skipfill.cli.options import GalleryName, Json, Store, opened, refuse_unconfirmed
from skipfill.cli.options.reason import Reason
from skipfill.cli.terminal.next_command import with_store
from skipfill.cli.terminal.printing import emit


def drop(
    name: GalleryName,
    confirm: Annotated[
        str,
        typer.Option(metavar="NAME", help="The name again, to confirm. Default: none; then nothing is dropped."),
    ] = "",
    reason: Reason = "",
    store: Store = None,
    json: Json = False,
) -> None:
    """Remove a gallery from the store; your Parquet files stay.

    Its history stays too. If the name is registered again, the log continues.

    Example: skipfill gallery drop products --confirm products
    """
    from skipfill.cli.documents.galleries import DroppedGalleryDocument
    from skipfill.store.galleries.register import drop_gallery

    refuse_unconfirmed(name, confirm)
    done = drop_gallery(opened(store), name, reason)
    emit(
        DroppedGalleryDocument(name, done),
        as_json=json,
        show=lambda out: out.print(
            f"Dropped {name} (version {done.number}). {with_store(f'See: skipfill history {name}')}"
        ),
    )
