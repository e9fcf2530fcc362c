"""skipfill history"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skipfill.cli.options import GalleryName, Json, Store, opened
from skipfill.cli.terminal.printer import terminal_width
from skipfill.cli.terminal.printing import emit, short_time, table, view_words
from skipfill.store.releases.forced_words import forced_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from skipfill.store.checks.entry import CheckEntry
    from skipfill.store.galleries.log import Version
    from skipfill.store.releases.grounds import Grounds
    from skipfill.store.releases.withdrawn import Withdrawal

SHOWN = 5
"""The newest checks before a swap that are shown; the JSON document has all."""
WIDE = 120  # columns of a terminal in which all of a version fits into a row
COLUMNS = ("version", "when (UTC)", "what", "queries use", "who", "check and reason")


def history(gallery: GalleryName, store: Store = None, json: Json = False) -> None:
    """Show every change of a gallery: what, when, by whom and why.

    The row of a rollback names the earlier version that came back: "as in version 3".

    Example: skipfill history products
    """
    from skipfill.cli.documents.releases import HistoryDocument
    from skipfill.store.checks.index import CheckIndex
    from skipfill.store.galleries.log import history as entries
    from skipfill.store.releases.evidence import checks_before_swaps
    from skipfill.store.releases.grounds import grounds_by_checks
    from skipfill.store.releases.release_log import release_origins
    from skipfill.store.releases.withdrawn import comebacks

    objects = opened(store)
    log = entries(objects, gallery)
    checks = checks_before_swaps(objects, gallery, log)
    origins = release_origins(log)
    index = CheckIndex(objects, gallery)
    came_back = comebacks(objects, gallery, log)
    rows = [
        (
            version.number,
            short_time(version.at, seconds=True),
            version.action,
            _in_use(version),
            version.by,
            ". ".join(
                _details(
                    version,
                    origins[version.number],
                    checks.get(version.number, []),
                    grounds_by_checks(objects, gallery, version, index),
                    came_back.get(version.number),
                )
            ),
        )
        for version in log
    ]
    emit(
        HistoryDocument(
            gallery,
            versions=log,
            release_origins=origins,
            checks={number: [check.as_document() for check in of_swap] for number, of_swap in checks.items()},
            came_back_after={number: one.as_document() for number, one in came_back.items()},
        ),
        as_json=json,
        show=lambda out: _show(out, rows),
    )


def _show(out: Console, rows: Sequence[tuple[object, ...]]) -> None:
    """A row for each version; in a narrow terminal, where a column of sentences is a few words wide, two lines."""
    if not out.is_terminal or terminal_width() >= WIDE:
        out.print(table(COLUMNS, rows, numbers=COLUMNS[:1], wrap=COLUMNS[2:]))
        return
    for number, when, what, model, by, details in rows:
        out.print(f"version {number}  {when}  {what} by {by}: queries use {model}")
        out.print(f"    {details}") if details else None


def _in_use(version: Version) -> str:
    """The released model, and its view unless that is a prefix; a dash for a gallery that was dropped."""
    if version.action == "dropped":
        return "-"
    view = version.release.view if version.release else None
    return (
        version.queries_use if view is None or view.kind == "prefix" else f"{version.queries_use} ({view_words(view)})"
    )


def _details(
    version: Version, origin: int, checks: list[CheckEntry], grounds: Grounds, came_back: Withdrawal | None
) -> list[str]:
    """The evidence of a version and its reasons, in words.

    Args:
        origin: number of the version that brought the release.
        checks: those before a swap.
        grounds: of the release.
        came_back: the rollbacks that had left the model before this version brought it back; None for none.
    """
    release, told = version.release, []
    if version.action == "rolled back":
        told.append(f"as in version {origin}")
    if release is not None and release.check:
        told.append(f"check {release.check}")
    elif grounds.forced and version.action in ("swapped", "rolled back"):
        named = [check.partition(" ")[0] for check in grounds.against or ()] + [grounds.allowed_by]
        shown = [check for check in checks[-SHOWN:] if check.check not in named]
        others = [f"{check.check} {check.verdict}{_less(version, check)}" for check in shown]
        before = [f"{len(checks) - SHOWN:,} earlier"] if len(checks) > SHOWN else []
        told.append(forced_words(grounds, reason=False))
        told.append(f"Other checks: {', '.join(before + others)}" if others else "")
    told.append(f"Came back after the rollback in version {came_back.version}" if came_back else "")
    told.append(f"Reason: {version.reason}" if version.reason else "")
    if version.action == "policy changed":
        told.append(version.policy_in_force.short)
    if version.action == "swapped" and release is not None:
        for check in checks:
            if check.check == release.check and check.instead_of:
                told.append(f"instead of {', '.join(check.instead_of)}: {check.reason}")
    return list(filter(None, told))


def _less(version: Version, check: CheckEntry) -> str:
    """The points in which a pass asked less than the policy; empty for other verdicts."""
    from skipfill.store.checks.standing import differences

    less = "; ".join(map(str, differences(version.policy_in_force, check.terms))) if check.verdict == "pass" else ""
    return f", which asked less: {less}" if less else ""
