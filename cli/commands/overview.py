"""skipfill without a command: the store that it finds, and the next step."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from skipfill.cli.options import opened
from skipfill.cli.reports.outlook import newest_step
from skipfill.cli.terminal.next_command import FIRST_GALLERY, VARIABLE, from_source
from skipfill.cli.terminal.printing import printer
from skipfill.store.releases.forced_words import forced_words

if TYPE_CHECKING:
    from skipfill.store.models.cards import Card
    from skipfill.store.releases.grounds import Grounds
    from skipfill.store.storage.object_store import ObjectStore

START = """\
Start here     skipfill init
See it work    skipfill demo
"""
READ = """\
All commands   skipfill --help
The guide      skipfill guide
"""
SHOWN = 10


def overview() -> int:
    """Print every gallery of the store here or above and its next step; or how to start. Return the exit code."""
    from skipfill.store.errors import BadInput
    from skipfill.store.galleries.log import newest_versions
    from skipfill.store.models.cards import load_card, model_names
    from skipfill.store.releases.grounds import grounds_of

    out = printer()
    named = os.environ.get(VARIABLE)
    try:
        objects = opened(named)
    except BadInput:
        if named is not None:
            raise
        out.print("No store in this folder or above it.")
        _print_lines(START + READ)
        return 0
    galleries = newest_versions(objects)
    cards = [load_card(objects, name) for name in model_names(objects)]
    counts = f"galleries: {len(galleries.in_force):,}, models: {len(cards):,}"
    out.print(f"Store {objects.root}{from_source()}: {counts}")
    for name, now in sorted(galleries.in_force.items())[:SHOWN]:
        out.print(f"{name}: {now.rows:,} rows in space {now.space}; queries use {now.queries_use}")
        step = newest_step(objects, name, now, cards)
        for line in dict.fromkeys([*_of_release(grounds_of(objects, name, now)), step.why]):
            out.print(f"  {line}") if line else None
        out.print(f"  Next: {step.command}")
    if len(galleries.in_force) > SHOWN:
        out.print("All galleries: skipfill status")
    if galleries.faults:
        out.print(f"Damaged: {', '.join(sorted(galleries.faults))}. Next: skipfill doctor")
    if not galleries.in_force and not galleries.faults:
        out.print(f"  {FIRST_GALLERY}")
    _print_lines(READ)
    return 2 if galleries.faults else 0


def _of_release(grounds: Grounds) -> list[str]:
    """The lines on a release that was forced, that came back after a rollback, or that a rollback brought."""
    came_back = f"Came back, although {grounds.came_back}" if grounds.came_back else ""
    return [forced_words(grounds), came_back, *map(str, grounds.rolled_back)]


def searchable(objects: ObjectStore, card: Card) -> str:
    """A gallery that a model's queries can search; `GALLERY` if there is none yet."""
    from skipfill.store.galleries.log import galleries_of

    found = [name for space in card.views for name in galleries_of(objects, space)]
    trained_against = str(card.gallery.get("name", ""))
    return trained_against if trained_against in found else next(iter(found), "GALLERY")


def _print_lines(text: str) -> None:
    out = printer()
    for line in text.splitlines():
        out.print(line, style="dim")
