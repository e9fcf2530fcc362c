"""skipfill rollback"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from skipfill.cli.error_messages import message
from skipfill.cli.options import DryRun, GalleryName, Json, Quiet, Store, opened
from skipfill.cli.options.after_commit import Run, emit_and_run, say_not_run
from skipfill.cli.options.reason import Reason
from skipfill.cli.terminal.next_command import quoted
from skipfill.cli.terminal.printing import show_next, show_store
from skipfill.store.releases.forced_words import forced_words

if TYPE_CHECKING:
    from skipfill.store.galleries.log import Version
    from skipfill.store.models.release import Release
    from skipfill.store.releases.rollback import Rollback
    from skipfill.store.storage.object_store import ObjectStore


def rollback(
    gallery: GalleryName,
    to: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="VERSION",
            help="Version of the gallery to go back to: queries use its model again. Default: the one before the last "
            "swap.",
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

    Needs no model files. For a second rollback in a row, name the version with `--to`. A model needs a `--reason` to
    come back if a check speaks against it, no check allowed it, it was rolled back itself, or it is not in this store.
    If queries use that model already, nothing is written.

    Exit 0: done, or nothing to do. Exit 1: a `--reason` is needed. Exit 4: `--to` is needed, or another change came
    first. Exit 5: the rollback is done, but the command of `--run` failed.

    Example: skipfill rollback products
    """
    from skipfill.cli.documents.releases import RollbackDocument
    from skipfill.store.releases.evidence import indexed_since_release
    from skipfill.store.releases.rollback import commit_rollback, planned_rollback

    objects = opened(store)
    planned = planned_rollback(objects, gallery, reason, to or 0)
    done = planned.version if dry_run else commit_rollback(objects, gallery, planned)
    against = indexed_since_release(objects, gallery, done, planned.origin)
    code = emit_and_run(
        RollbackDocument(gallery, done, dry_run, planned.already, planned.origin, against),
        "" if dry_run or planned.already else run,
        as_json=json,
        show=lambda out: out.print(
            f"{_done(planned, dry_run=dry_run)}: queries of {gallery} use {done.queries_use}, as in version "
            f"{planned.origin} ({_number(planned, dry_run=dry_run)}{_reason(planned)})"
            f"{_notes(objects, gallery, planned, against)}"
        ),
    )
    if planned.already:
        say_not_run(run, because="nothing was changed", quiet=quiet)
        return
    show_store(objects, quiet=quiet)
    if dry_run:
        say_not_run(run, because="this is a dry run", quiet=quiet)
        show_next("Next: the same command without --dry-run", quiet=quiet)
        raise typer.Exit(code)
    if done.release is None:
        show_next(f"Next: {_search(objects, gallery, done)}", quiet=quiet)
    if planned.undo:
        reason_needed = " --reason TEXT" if planned.undo_needs_reason else ""
        show_next(f"Undo: skipfill rollback {gallery} --to {planned.undo}{reason_needed}", quiet=quiet)
    raise typer.Exit(code)


def _done(planned: Rollback, *, dry_run: bool) -> str:
    if planned.already:
        return "Nothing to do"
    return "Would roll back" if dry_run else "Rolled back"


def _number(planned: Rollback, *, dry_run: bool) -> str:
    return f"{'' if dry_run and not planned.already else 'now '}version {planned.version.number}"


def _search(objects: ObjectStore, gallery: str, now: Version) -> str:
    """The command that searches with vectors by the gallery's encoder, which is not in the store.

    Their column is the one that the check of the release before read them from.
    """
    from skipfill.store.checks.names import column_of
    from skipfill.store.checks.saved_reports import readable_report
    from skipfill.store.galleries.log import read_version

    left = read_version(objects, gallery, now.number - 1).release
    report = readable_report(objects, gallery, left.check) if left is not None else None
    column = column_of(report.baseline) if report is not None else ""
    return f"skipfill search {gallery} --vectors QUERIES.parquet --vector {quoted(column or 'COLUMN')}"


def _reason(planned: Rollback) -> str:
    return f". Reason: {planned.version.reason}" if planned.version.reason and not planned.already else ""


def _notes(objects: ObjectStore, gallery: str, planned: Rollback, against: list[str] | None) -> str:
    """Warnings about the release that came back: on its checks, and on its model, which may not be here."""
    release = planned.version.release
    if release is None:
        return ""
    notes = _forced_then(objects, gallery, planned) if release.without_check else []
    if against is None:
        notes.append("its checks cannot be read: skipfill doctor")
    elif against:
        notes.append(f"checks since then speak against it: {', '.join(against)}")
    return "".join(f"; {note}" for note in [*notes, _of_model(objects, release)] if note)


def _of_model(objects: ObjectStore, release: Release) -> str:
    """A warning where a model of this name is not in the store, or is another one; empty where all is well."""
    from skipfill.store.errors import SkipfillError
    from skipfill.store.models.cards import bundle_of, has_model, load_card

    try:
        if has_model(objects, release.model):
            same = load_card(objects, release.model).fingerprint == release.fingerprint
            return "" if same else f"model {release.model} in this store is another model of the same name"
        if other := bundle_of(objects, release.fingerprint):
            return f"model {release.model} is in this store as {other}"
    except SkipfillError as damage:  # the rollback is done all the same
        return message(damage)
    return f"model {release.model} is not in this store, so a search needs --vectors FILE --vector COLUMN"


def _forced_then(objects: ObjectStore, gallery: str, planned: Rollback) -> list[str]:
    """The note that the release was forced when it was first made, and for which reason."""
    from skipfill.store.errors import SkipfillError
    from skipfill.store.galleries.log import read_version
    from skipfill.store.releases.grounds import grounds_of

    with suppress(SkipfillError, OSError):
        then = grounds_of(objects, gallery, read_version(objects, gallery, planned.origin))
        return [f"version {planned.origin} was {forced_words(then, reason=False)}, for this reason: {then.reason}"]
    return []
