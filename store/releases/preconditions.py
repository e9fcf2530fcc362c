"""What a plan requires, looked at now. Reads a few small files; opens no Parquet."""

from __future__ import annotations

from skipfill.store.checks.saved_reports import load_report, newest_check
from skipfill.store.errors import BadInput
from skipfill.store.galleries.log import Version, latest
from skipfill.store.models.cards import load_card
from skipfill.store.releases.plan import Plan, Precondition
from skipfill.store.spaces import View
from skipfill.store.storage.object_store import ObjectStore

SHORT = 12


def requirements(objects: ObjectStore, plan: Plan) -> list[Precondition]:
    """Every requirement of `plan` and whether it holds now. What is gone is found to be `none`."""
    now = latest(objects, plan.gallery)
    version, files = f"{plan.version} ({plan.state[:SHORT]})", plan.files[:SHORT]
    same = (now.number, now.state) == (plan.version, plan.state)
    return [
        Precondition("gallery version", version, f"{now.number} ({now.state[:SHORT]})", same),
        Precondition("gallery files", files, now.files[:SHORT], now.files == plan.files),
        *_of_model(objects, plan, now),
        _of_check(objects, plan),
    ]


def _of_model(objects: ObjectStore, plan: Plan, now: Version) -> list[Precondition]:
    try:
        card = load_card(objects, plan.model)
    except BadInput:
        fingerprint, view = "", None
    else:
        fingerprint, view = card.fingerprint, card.views.get(now.space)
    return [
        Precondition("model", plan.fingerprint[:SHORT], fingerprint[:SHORT] or "none", fingerprint == plan.fingerprint),
        Precondition("view", _shown(plan.view), _shown(view), view == plan.view),
    ]


def _of_check(objects: ObjectStore, plan: Plan) -> Precondition:
    if plan.without_check:
        return Precondition("check", "none asked for", "none asked for", True)
    expected = f"{plan.check} pass" if plan.verdict == "pass" else "pass"
    try:
        report = load_report(objects, plan.gallery, plan.check) if plan.check else None
    except BadInput:
        report = None
    if report is None:
        return Precondition("check", expected, "none", False)
    if (report.fingerprint, report.state) != (plan.fingerprint, plan.state):
        return Precondition("check", expected, f"{report.id} {report.verdict}, of another model or state", False)
    newest = newest_check(objects, plan.gallery, plan.fingerprint, plan.state) or report
    found = f"{newest.id} {newest.verdict}" + ("" if newest.id == report.id else ", which is newer")
    return Precondition("check", expected, found, newest.id == report.id and report.verdict == "pass")


def _shown(view: View | None) -> str:
    return "none" if view is None else f"{view.kind} {view.dim}"
