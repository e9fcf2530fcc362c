"""skipfill prune"""

from __future__ import annotations

from typing import Annotated

import typer

from skipfill.cli.options import Json, Quiet, Store, opened
from skipfill.cli.terminal.printing import counted, emit, leftover_table, show_next


def prune(
    yes: Annotated[bool, typer.Option("--yes", help="Remove the files; without it, they are only listed.")] = False,
    all_ages: Annotated[
        bool,
        typer.Option("--all-ages", help="Include files younger than an hour; use it only while no other command runs."),
    ] = False,
    trainings: Annotated[
        bool,
        typer.Option(
            "--trainings", help="Include unfinished trainings unchanged for a day; with --all-ages, all of them."
        ),
    ] = False,
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List leftover files of interrupted runs; with `--yes`, remove them.

    Files that are in use are never touched. Files younger than an hour are kept, because a command that still runs may
    need them. Unfinished trainings are kept, too, unless `--trainings` is given: the same train command resumes
    them. `skipfill doctor` lists them.

    Example: skipfill prune --yes
    """
    from skipfill.cli.documents.maintenance import PruneDocument
    from skipfill.store.maintenance import prune as leftovers

    objects = opened(store)
    pruned = leftovers.prune(objects, all_ages=all_ages, trainings=trainings, dry_run=not yes)
    size = sum(leftover.bytes for leftover in pruned)
    summary = f"{'Removed' if yes else 'Would remove'} {counted(len(pruned), 'leftover file')} ({size:,} bytes)"
    emit(
        PruneDocument(pruned, size, not yes),
        as_json=json,
        show=lambda out: out.print(*([leftover_table(pruned)] if pruned else []), summary, sep="\n"),
    )
    young = [one for one in leftovers.unfinished_trainings(objects) if one.young] if trainings and not all_ages else []
    if young:
        show_next(
            f"Kept, as they changed within the last day and may still run: {', '.join(one.key for one in young)}. To "
            f"remove them too, while no other command runs: skipfill prune --yes --trainings --all-ages",
            quiet=quiet,
        )
    if pruned and not yes:
        options = (" --all-ages" if all_ages else "") + (" --trainings" if trainings else "")
        show_next(f"Next: skipfill prune --yes{options}", quiet=quiet)
