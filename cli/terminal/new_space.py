"""Notes on spaces: on a new one whose name is nearly a known one, and on one whose encoder is not in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skipfill.cli.terminal.printing import show_next

if TYPE_CHECKING:
    from skipfill.store.storage.object_store import ObjectStore


def note_new_space(objects: ObjectStore, space: str, *, quiet: bool) -> None:
    """Note a new space with nearly the name of one in the store, as after a typing error."""
    from difflib import get_close_matches

    from skipfill.store.models.cards import model_names
    from skipfill.store.spaces import space_names

    known = {*space_names(objects), *model_names(objects)}
    near = [] if space in known else get_close_matches(space, sorted(known), n=1, cutoff=0.75)
    if near:
        show_next(f"Note: {space} is a new space (nearest known: {near[0]})", quiet=quiet)


def note_absent_encoder(objects: ObjectStore, gallery: str, space: str, following: str, *, quiet: bool) -> None:
    """If no model of the store is the gallery's encoder, say what queries need that are not rows of the gallery.

    Args:
        space: of the gallery's vectors.
        following: the next command, without the options that bring the old vectors.
    """
    from skipfill.store.models.cards import has_model

    if not has_model(objects, space):
        show_next(
            f"{space} is not a model in this store. If the items are not rows of {gallery}, give its vectors of them: "
            f"{following} --gallery-items GALLERY_ITEMS.parquet --old-vector COLUMN",
            quiet=quiet,
        )
