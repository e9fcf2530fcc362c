"""skipfill history"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from skipfill.cli.options import GalleryName, Json, Store, opened
from skipfill.cli.terminal.printing import emit, released, short_time, table

if TYPE_CHECKING:
    from skipfill.store.checks.entry import CheckEntry
    from skipfill.store.galleries.log import Version

SHOWN = 5
"""The newest checks before a swap that are shown; the JSON document has all."""


def history(gallery: GalleryName, store: Store = None, json: Json = False) -> None:
    """Show every version of a gallery: what happened, when, by whom, and on what evidence.

    "Brought by" is the version whose swap or registration brought the release; a rollback brings one back.

    Example: skipfill history products
    """
    from skipfill.store.galleries.log import history as entries
    from skipfill.store.releases.evidence import checks_before_swaps
    from skipfill.store.releases.rollback import release_origins

    objects = opened(store)
    log = entries(objects, gallery)
    checks = checks_before_swaps(objects, gallery, log)
    origins = release_origins(log)
    rows = [
        (
            version.number,
            version.action,
            _in_use(version),
            origins[version.number],
            _evidence(version, checks.get(version.number, [])),
            short_time(version.at),
            version.by,
            _why(version, checks.get(version.number, [])),
        )
        for version in log
    ]
    emit(
        {
            "gallery": gallery,
            "versions": [asdict(version) for version in log],
            "release_origins": origins,
            "checks": {number: [check.as_document() for check in of_swap] for number, of_swap in checks.items()},
        },
        as_json=json,
        show=lambda out: out.print(
            table(
                ["version", "what", "queries use", "brought by", "check", "when (UTC)", "who", "why"],
                rows,
                numbers=["version", "brought by"],
            )
        ),
    )


def _in_use(version: Version) -> str:
    """The released model, and its view where that is no prefix."""
    view = version.release.view if version.release else None
    return released(version) if view is None or view.kind == "prefix" else f"{released(version)} ({view})"


def _evidence(version: Version, checks: list[CheckEntry]) -> str:
    """The check that allowed a release; for a swap without one, the newest of those that there were."""
    if version.release is None or version.action != "swapped":
        return version.release.check if version.release and version.release.check else "-"
    newest = [f"{check.check} {check.verdict}" for check in checks[-SHOWN:]]
    before = [f"{len(checks) - SHOWN:,} before"] if len(checks) > SHOWN else []
    return version.release.check or ", ".join(before + newest) or "-"


def _why(version: Version, checks: list[CheckEntry]) -> str:
    """The reason that was given, what a change of the policy made of it, and on what queries a check stands in."""
    from skipfill.store.checks.standing import differences

    reasons = [version.reason]
    if version.action == "policy changed":
        reasons.append(version.policy_in_force.short)
    if version.action == "swapped" and version.release is not None:
        for check in checks:
            if check.check == version.release.check and check.instead_of:
                reasons.append(f"instead of {', '.join(check.instead_of)}: {check.reason}")
        for check in () if version.release.check else checks[-SHOWN:]:
            less = "; ".join(map(str, differences(version.policy_in_force, check.terms)))
            reasons.append(f"{check.check} asked less: {less}" if less else "")
    return "; ".join(filter(None, reasons))
