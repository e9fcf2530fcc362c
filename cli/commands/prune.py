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
            "--trainings", help="Include unfinished trainings that have not changed for a day; with --all-ages, all."
        ),
    ] = False,
    cache: Annotated[
        bool,
        typer.Option(
            "--cache",
            help="Include this user's local copies of galleries and overlays, for all stores: see skipfill guide "
            "production.",
        ),
    ] = False,
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List leftover files of interrupted runs; with `--yes`, remove them.

    Files that are in use are never touched. Files younger than an hour are kept, because a running command may need
    them. Unfinished trainings are kept too, unless `--trainings` is given: the same train command resumes them.
    `skipfill doctor` lists them. Row hashes and overlays of dropped galleries also count as leftover files.

    Example: skipfill prune --yes
    """
    from skipfill.cli.documents.maintenance import PruneDocument
    from skipfill.store.maintenance import prune as leftovers
    from skipfill.store.maintenance.cached_copies import cached_copies

    objects = opened(store)
    pruned = leftovers.prune(objects, all_ages=all_ages, trainings=trainings, dry_run=not yes)
    copies = cached_copies(remove=yes) if cache else None
    size, verb = sum(leftover.bytes for leftover in pruned), "Removed" if yes else "Would remove"
    lines = [f"{verb} {counted(len(pruned), 'leftover file')} ({size:,} bytes)"]
    if copies is not None:
        lines += [f"{verb} {counted(copies.files, 'local file')} ({copies.bytes:,} bytes) in {copies.folder}"]
    emit(
        PruneDocument(pruned, size, cache=copies, dry_run=not yes),
        as_json=json,
        show=lambda out: out.print(*([leftover_table(pruned)] if pruned else []), *lines, sep="\n"),
    )
    given = {"--all-ages": all_ages, "--trainings": trainings, "--cache": cache}
    options = "".join(f" {flag}" for flag, is_given in given.items() if is_given)
    kept = [one for one in leftovers.leftovers(objects) if one.young] if not all_ages and not quiet else []
    if kept:
        show_next(
            "Kept, because a running command may need files younger than an hour: "
            f"{counted(len(kept), 'leftover file')} ({sum(one.bytes for one in kept):,} bytes). To remove them too, "
            f"while no other command runs: skipfill prune --yes --all-ages{options}",
            quiet=quiet,
        )
    young = [one for one in leftovers.unfinished_trainings(objects) if one.young] if trainings and not all_ages else []
    if young:
        show_next(
            f"Kept, because they changed within the last day and may still run: {', '.join(one.key for one in young)}. "
            f"To remove them too, while no other command runs: skipfill prune --yes --trainings --all-ages",
            quiet=quiet,
        )
    if (pruned or (copies and copies.files)) and not yes:
        show_next(f"Next: skipfill prune --yes{options}", quiet=quiet)
