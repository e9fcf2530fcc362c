"""skipfill rollback"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from skipfill.cli.error_messages import message
from skipfill.cli.options import DryRun, GalleryName, Json, Quiet, Reason, Store, opened
from skipfill.cli.options.after_commit import Run, emit_and_run, say_not_run
from skipfill.cli.terminal.printing import show_next, show_store
from skipfill.store.releases.forced_words import forced_words

if TYPE_CHECKING:
    from skipfill.store.galleries.log import Version
    from skipfill.store.releases.rollback import Rollback
    from skipfill.store.storage.object_store import ObjectStore


def rollback(
    gallery: GalleryName,
    to: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="VERSION",
            help="Version of the gallery whose model queries will use again. Default: the one before the last swap.",
        ),
    ] = None,
    reason: Reason = "",
    run: Run = "",
    dry_run: DryRun = False,
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Undo the last swap: queries use the model that they used before.

    Needs no model files. For a second rollback in a row, name the version with `--to`. If queries use that model
    already, nothing is written: exit 0. A model needs a `--reason` to come back if it failed a check, no check allowed
    it, it was rolled back itself, or it is not in this store: without one, exit 1. Exit 5: the rollback is done, and
    the command of `--run` failed.

    Example: skipfill rollback products
    """
    from skipfill.store.releases.evidence import indexed_since_release
    from skipfill.store.releases.rollback import commit_rollback, planned_rollback

    objects = opened(store)
    planned = planned_rollback(objects, gallery, reason, to or 0)
    done = planned.version if dry_run else commit_rollback(objects, gallery, planned)
    against = indexed_since_release(objects, gallery, done, planned.origin)
    code = emit_and_run(
        {
            "gallery": gallery,
            "version": asdict(done),
            "dry_run": dry_run,
            "already": planned.already,
            "origin": planned.origin,
            "checks_against": against,
        },
        "" if dry_run or planned.already else run,
        as_json=json,
        show=lambda out: out.print(
            f"{_done(planned, dry_run=dry_run)}: queries of {gallery} use {done.queries_use}, as in version "
            f"{planned.origin} (now version {done.number}){_notes(objects, done, against)}"
        ),
    )
    if planned.already:
        say_not_run(run, because="nothing was changed", quiet=quiet)
        return
    show_store(objects, quiet=quiet)
    if dry_run:
        say_not_run(run, because="this is a dry run", quiet=quiet)
        show_next("Next: the same command without --dry-run", quiet=quiet)
    elif planned.undo:
        reason_needed = " --reason TEXT" if planned.undo_needs_reason else ""
        show_next(f"Undo: skipfill rollback {gallery} --to {planned.undo}{reason_needed}", quiet=quiet)
    raise typer.Exit(code)


def _done(planned: Rollback, *, dry_run: bool) -> str:
    if planned.already:
        return "Nothing to do"
    return "Would roll back" if dry_run else "Rolled back"


def _notes(objects: ObjectStore, version: Version, against: list[str] | None) -> str:
    """Warnings about the release that came back: on its checks, and on its model, which may not be here."""
    from skipfill.store.errors import SkipfillError
    from skipfill.store.models.cards import has_model, load_card

    release = version.release
    if release is None:
        return ""
    notes = [forced_words(None, release.without_check)] if release.without_check else []
    if against is None:
        notes.append("its checks cannot be read: skipfill doctor")
    elif against:
        notes.append(f"checks since then speak against it: {', '.join(against)}")
    try:
        if not has_model(objects, release.model):
            notes.append(f"model {release.model} is not in this store, so a search needs --vectors")
        elif load_card(objects, release.model).fingerprint != release.fingerprint:
            notes.append(f"model {release.model} in this store is another model of the same name")
    except SkipfillError as damage:  # the rollback is done all the same
        notes.append(message(damage))
    return "".join(f"; {note}" for note in notes)
