"""Preconditions of a plan, compared with the store as it is now. Reads a few small files; opens no Parquet."""

from __future__ import annotations

from dataclasses import dataclass

from skipfill.store.checks.report import Report
from skipfill.store.checks.saved_reports import Checks
from skipfill.store.errors import BadInput
from skipfill.store.galleries.log import Version, latest
from skipfill.store.models.cards import Card, load_card
from skipfill.store.releases.plan import Plan, Precondition
from skipfill.store.storage.object_store import ObjectStore

SHORT = 12


@dataclass(frozen=True)
class Situation:
    """The part of a store that a plan depends on, read at one moment.

    Attributes:
        version: the gallery's version in force.
        card: of the plan's model; None where it is gone.
        check: the check that the plan names; None where it names none, or it is gone.
        newest: the newest check of the plan's model on the plan's state; None where there is none, or none is needed.
    """

    version: Version
    card: Card | None
    check: Report | None
    newest: Report | None


def current_situation(objects: ObjectStore, plan: Plan, checks: Checks) -> Situation:
    """Read what `plan` depends on.

    Args:
        checks: of the plan's gallery; a report that it has read is not read again.

    Raises:
        BadInput: the gallery is gone, or a report is damaged.
        Stale: the gallery was dropped.
    """
    version = latest(objects, plan.gallery)
    try:
        card = load_card(objects, plan.model)
    except BadInput:
        card = None
    try:
        check = checks.report(plan.check) if plan.check else None
    except BadInput:
        check = None
    newest = None if plan.without_check or check is None else checks.newest(plan.fingerprint, plan.state)
    return Situation(version, card, check, newest)


def preconditions(plan: Plan, now: Situation) -> list[Precondition]:
    """Every precondition of `plan` and whether it holds now. Something that is gone is shown as `none`."""
    version, planned = now.version, f"{plan.version} ({plan.state[:SHORT]})"
    same = (version.number, version.state) == (plan.version, plan.state)
    return [
        Precondition("gallery version", planned, f"{version.number} ({version.state[:SHORT]})", same),
        Precondition("gallery files", plan.files[:SHORT], version.files[:SHORT], version.files == plan.files),
        *_of_model(plan, now),
        _of_check(plan, now),
    ]


def _of_model(plan: Plan, now: Situation) -> list[Precondition]:
    fingerprint, view = (
        ("", None) if now.card is None else (now.card.fingerprint, now.card.views.get(now.version.space))
    )
    return [
        Precondition("model", plan.fingerprint[:SHORT], fingerprint[:SHORT] or "none", fingerprint == plan.fingerprint),
        Precondition("view", str(plan.view), str(view or "none"), view == plan.view),
    ]


def _of_check(plan: Plan, now: Situation) -> Precondition:
    if plan.without_check:
        return Precondition("check", "none asked for", "none asked for", True)
    expected = f"{plan.check} pass" if plan.verdict == "pass" else "pass"
    check = now.check
    if check is None:
        return Precondition("check", expected, "none", False)
    if (check.fingerprint, check.state) != (plan.fingerprint, plan.state):
        return Precondition("check", expected, f"{check.id} {check.verdict}, of another model or state", False)
    newest = now.newest or check
    shown = f"{newest.id} {newest.verdict}" + ("" if newest.id == check.id else ", which is newer")
    return Precondition("check", expected, shown, newest.id == check.id and check.verdict == "pass")
