"""The note on a new space whose name is nearly a known one."""

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
