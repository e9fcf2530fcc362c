"""skipfill swap | rollback"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from skipfill.cli.commands.gallery import released
from skipfill.cli.options import DryRun, GalleryName, Json, ModelName, Quiet, Store, opened
from skipfill.cli.terminal import advise, emit


def swap(
    gallery: GalleryName,
    name: ModelName,
    without_check: Annotated[
        str, typer.Option(metavar="REASON", help="Swap without a passing check; the reason is recorded.")
    ] = "",
    dry_run: DryRun = False,
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a model the one that queries use: one small file, readers see the old release or the new one.

    Refused without a passing check of this model on the gallery as it is now.

    Example: skipfill swap products v2
    """
    from skipfill.store import release
    from skipfill.store.models import load_card

    objects = opened(store)
    card = load_card(objects, name)
    act = release.planned_swap if dry_run else release.swap
    done = act(objects, gallery, card, without_check)
    evidence = f"check {done.release.check}" if done.release and done.release.check else f"no check: {without_check}"
    emit(
        {"gallery": gallery, "version": asdict(done), "dry_run": dry_run},
        as_json=json,
        show=lambda out: out.print(
            f"{'Would swap' if dry_run else 'Swapped'}: queries of {gallery} use {name} "
            f"(version {done.number}, {evidence})"
        ),
    )
    advise(f"Next: skipfill search {gallery} --items QUERIES.parquet. Undo: skipfill rollback {gallery}", quiet=quiet)


def rollback(
    gallery: GalleryName,
    reason: Annotated[str, typer.Option(help="Recorded in the history.")] = "",
    dry_run: DryRun = False,
    store: Store = None,
    json: Json = False,
) -> None:
    """Bring back the release before the last swap, as a new version. Needs no model at hand.

    Example: skipfill rollback products
    """
    from skipfill.store import release

    act = release.planned_rollback if dry_run else release.rollback
    done = act(opened(store), gallery, reason)
    emit(
        {"gallery": gallery, "version": asdict(done), "dry_run": dry_run},
        as_json=json,
        show=lambda out: out.print(
            f"{'Would roll back' if dry_run else 'Rolled back'}: queries of {gallery} use "
            f"{released(done)} (version {done.number})"
        ),
    )
