"""The grounds of a release for which no check was asked, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skipfill.store.releases.grounds import Grounds

FORCED_SHOWN = 3  # number of checks named that a release was forced against; the JSON document has all


def forced_words(grounds: Grounds, *, reason: bool = True) -> str:
    """A forced release: `FORCED although check 1a2b failed. Reason: a demo`; empty for one that a check allowed.

    Args:
        reason: whether to add the reason.
    """
    if not grounds.forced:
        return ""
    said = {"fail": "failed", "inconclusive": "was inconclusive"}
    checks = [check.split(" ") for check in grounds.against or []]
    shown = [f"{check} {said.get(verdict, verdict)}" for check, verdict in checks[-FORCED_SHOWN:]]
    more = f" and {len(checks) - FORCED_SHOWN:,} earlier" if len(checks) > FORCED_SHOWN else ""
    forced = f" although check {', '.join(shown)}{more}" if shown else " without a passing check"
    if grounds.allowed_by:
        forced = f", which was not needed: check {grounds.allowed_by} passed"
    return f"FORCED{forced}" + (f". Reason: {grounds.reason}" if reason and grounds.reason else "")
