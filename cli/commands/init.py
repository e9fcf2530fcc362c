"""skipfill init"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skipfill.cli.options import OUTPUT, Json, Quiet
from skipfill.cli.terminal.next_command import name_store
from skipfill.cli.terminal.printing import emit, show_next

NewStore = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="STORE",
        envvar="SKIPFILL_STORE",
        help="Store to make: a folder, or s3://bucket/prefix. Default: .skipfill/ in this folder.",
        rich_help_panel=OUTPUT,
    ),
]


def init(store: NewStore = None, json: Json = False, quiet: Quiet = False) -> None:
    """Make a store: a .skipfill/ folder here, or where `--store` says.

    Example: skipfill init
    """
    from skipfill.cli.documents.maintenance import InitDocument
    from skipfill.store.galleries.log import gallery_names
    from skipfill.store.storage.location import FOLDER, init_store, is_store, named_root

    name_store(store)
    root = Path.cwd() / FOLDER if store is None else named_root(store)
    already = is_store(root)
    objects = init_store(root)
    emit(
        InitDocument(str(objects.root), already),
        as_json=json,
        show=lambda out: out.print(f"{'The store is already there:' if already else 'Store ready in'} {objects.root}"),
    )
    if already and gallery_names(objects):
        show_next("Next: skipfill", quiet=quiet)
        return
    show_next("Next: skipfill train v1 --items ITEMS.parquet", quiet=quiet)
    show_next("Or, if you already have vectors: skipfill gallery add NAME FILES... --space OLD_ENCODER", quiet=quiet)
