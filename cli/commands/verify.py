"""skipfill gallery verify"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from skipfill.cli.options import GalleryName, Json, Quiet, Store, opened
from skipfill.cli.reports.gallery import show_gallery
from skipfill.cli.terminal.printing import show_next
from skipfill.cli.terminal.progress import progress


def verify(
    name: GalleryName,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every row, and test that the models still encode as they did.")
    ] = False,
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare a gallery's files with those that were registered.

    Compares row counts, sizes and footers; with `--deep`, every row.

    Example: skipfill gallery verify products --deep
    """
    from skipfill.store.galleries.gallery import open_gallery
    from skipfill.store.galleries.log import latest
    from skipfill.store.galleries.verify import reread_gallery

    objects = opened(store)
    if not deep:
        show_gallery(open_gallery(objects, name), as_json=json, title="Sizes and footers are as registered:")
        show_next(f"To compare every row: skipfill gallery verify {name} --deep", quiet=quiet)
        return
    from skipfill.cli.documents.galleries import VerifiedGalleryDocument
    from skipfill.compat.inference.gallery_agreement import models_of_gallery

    with progress(quiet=quiet) as bar:
        bar.start("reading rows", latest(objects, name).rows)
        gallery = reread_gallery(objects, name, bar.advance)
    models = models_of_gallery(objects, gallery)
    told = [(f"model {model}", state) for model, state in models.items()]
    verified = partial(VerifiedGalleryDocument, models=models)
    show_gallery(gallery, as_json=json, title="Every row is as registered:", as_document=verified, rows=told)
