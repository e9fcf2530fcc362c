"""A release without a passing check, in words."""

from __future__ import annotations

from collections.abc import Sequence

FORCED_SHOWN = 3  # number of checks named that a release was forced against; the JSON document has all


def forced_words(against: Sequence[str] | None, reason: str = "") -> str:
    """A release without a passing check: `FORCED although check 1a2b failed. Reason: a demo`.

    Args:
        against: the checks that it was forced against; None where they cannot be read.
    """
    said = {"fail": "failed", "inconclusive": "was inconclusive"}
    checks = [check.split(" ") for check in against or []]
    shown = [f"{check} {said.get(verdict, verdict)}" for check, verdict in checks[-FORCED_SHOWN:]]
    more = f" and {len(checks) - FORCED_SHOWN:,} before" if len(checks) > FORCED_SHOWN else ""
    forced = f"although check {', '.join(shown)}{more}" if shown else "without a passing check"
    return f"FORCED {forced}" + (f". Reason: {reason}" if reason else "")
