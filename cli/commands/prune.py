"""skipfill prune"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from skipfill.cli.options import Json, Quiet, Store, opened
from skipfill.cli.terminal.printing import emit, leftover_table, show_next


def prune(
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; without it they are only named.")] = False,
    all_ages: Annotated[
        bool, typer.Option("--all-ages", help="Also what is younger than an hour: only while nothing else writes.")
    ] = False,
    trainings: Annotated[
        bool, typer.Option("--trainings", help="Also unfinished trainings that nothing wrote to for a day.")
    ] = False,
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Name what killed runs left in the store, and with --yes remove it. Nothing that anything refers to is touched.

    What is younger than an hour is kept: a command that still runs may own it. Unfinished trainings, from which the
    same command goes on, are kept unless --trainings says otherwise; `skipfill doctor` names them.

    Example: skipfill prune --yes
    """
    from skipfill.store.maintenance import prune as leftovers

    pruned = leftovers.prune(opened(store), all_ages=all_ages, trainings=trainings, dry_run=not yes)
    size = sum(leftover.bytes for leftover in pruned)
    summary = f"{'Removed' if yes else 'Would remove'} {len(pruned):,} leftovers ({size:,} bytes)"
    emit(
        {"leftovers": [asdict(leftover) for leftover in pruned], "bytes": size, "dry_run": not yes},
        as_json=json,
        show=lambda out: out.print(*([leftover_table(pruned)] if pruned else []), summary, sep="\n"),
    )
    if pruned and not yes:
        options = (" --all-ages" if all_ages else "") + (" --trainings" if trainings else "")
        show_next(f"Next: skipfill prune --yes{options}", quiet=quiet)
