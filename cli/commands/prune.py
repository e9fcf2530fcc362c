"""skipfill prune"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from skipfill.cli.options import Json, Quiet, Store, opened
from skipfill.cli.terminal import advise, emit, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from skipfill.store.maintenance.prune import Leftover


def prune(
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; without it they are only named.")] = False,
    all_ages: Annotated[
        bool, typer.Option("--all-ages", help="Also what is younger than an hour: only while nothing else writes.")
    ] = False,
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Name what killed runs left in the store, and with --yes remove it. Nothing that anything refers to is touched.

    What is younger than an hour is kept: a command that still runs may own it.

    Example: skipfill prune --yes
    """
    from skipfill.store.maintenance import prune as leftovers

    found = leftovers.prune(opened(store), all_ages=all_ages, dry_run=not yes)
    size = sum(one.bytes for one in found)
    summary = f"{'Removed' if yes else 'Would remove'} {len(found):,} leftovers ({size:,} bytes)"
    emit(
        {"leftovers": [asdict(one) for one in found], "bytes": size, "dry_run": not yes},
        as_json=json,
        show=lambda out: out.print(*([listed(found)] if found else []), summary, sep="\n"),
    )
    if found and not yes:
        advise("Next: skipfill prune --yes" + (" --all-ages" if all_ages else ""), quiet=quiet)


def listed(found: Sequence[Leftover]) -> Table:
    rows = [(one.key, f"{one.bytes:,}", f"{one.age / 3600:,.1f}", one.why) for one in found]
    return table(["leftover", "bytes", "hours old", "what it is"], rows, numbers=["bytes", "hours old"])
