"""skipfill rollback"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from skipfill.cli.error_messages import message
from skipfill.cli.options import DryRun, GalleryName, Json, Quiet, Store, opened
from skipfill.cli.terminal.printing import emit, released, show_next

if TYPE_CHECKING:
    from skipfill.store.galleries.log import Version
    from skipfill.store.releases.rollback import Rollback
    from skipfill.store.storage.object_store import ObjectStore


def rollback(
    gallery: GalleryName,
    to: Annotated[
        int | None,
        typer.Option(min=1, metavar="VERSION", help="Bring back the release of this version of the gallery."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Recorded in the history.")] = "",
    dry_run: DryRun = False,
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Bring back the release before the last swap, or that of a version, as a new version. Needs no model at hand.

    After a rollback, name the version to go back to: a second one may be meant to repeat the first. What is in force
    already is not written again: exit 0. It is said where no check allowed the release that comes back, or where its
    model is not here.

    Example: skipfill rollback products
    """
    from skipfill.store.releases.rollback import commit_rollback, planned_rollback

    objects = opened(store)
    planned = planned_rollback(objects, gallery, reason, to or 0)
    done = planned.version if dry_run else commit_rollback(objects, gallery, planned)
    emit(
        {
            "gallery": gallery,
            "version": asdict(done),
            "dry_run": dry_run,
            "already": planned.already,
            "origin": planned.origin,
        },
        as_json=json,
        show=lambda out: out.print(
            f"{_done(planned, dry_run=dry_run)}: queries of {gallery} use {released(done)}, as in version "
            f"{planned.origin} (now version {done.number}){_notes(objects, done)}"
        ),
    )
    if not planned.already and not dry_run:
        show_next(f"Undo: skipfill rollback {gallery} --to {done.number - 1}", quiet=quiet)


def _done(planned: Rollback, *, dry_run: bool) -> str:
    if planned.already:
        return "Already so"
    return "Would roll back" if dry_run else "Rolled back"


def _notes(objects: ObjectStore, version: Version) -> str:
    """Warnings about the release that came back: no check allowed it, or its model is not here."""
    from skipfill.store.errors import SkipfillError
    from skipfill.store.models.cards import has_model, load_card

    release = version.release
    if release is None:
        return ""
    notes = [f"no check allowed it: {release.without_check}"] if release.without_check else []
    try:
        if not has_model(objects, release.model):
            notes.append(f"model {release.model} is not in this store, which can be searched with vectors only")
        elif load_card(objects, release.model).fingerprint != release.fingerprint:
            notes.append(f"model {release.model} in this store is another one")
    except SkipfillError as damage:  # the rollback is done all the same
        notes.append(message(damage))
    return "".join(f"; {note}" for note in notes)
